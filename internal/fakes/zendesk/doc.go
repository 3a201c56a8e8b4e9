// Package zendesk is an HTTP stand-in for Zendesk Support: users, organizations, memberships, search, bulk jobs,
// exports, tickets, macros and sign-in, as Zendesk documents them, together with the traps that its users report and faults to switch
// on. It knows nothing of the programs that are tried on it.
//
// A Server is an http.Handler. Seed it with AddOrganization and AddUser, change its ways with Configure, break it
// with Inject, and ask it afterwards what it holds (User, MembersOf), what was sent (Requests), who would have got
// mail (Mails), and what no careful client may ever do (Violations).
//
// Behaviour follows https://developer.zendesk.com/api-reference/ticketing/ unless a comment names another source.
// Where Zendesk documents nothing, a field of Settings lets a test choose, and the default is the more dangerous way.
package zendesk
