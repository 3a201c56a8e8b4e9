package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/sync"
)

func (p *program) demoCommand() *cobra.Command {
	var once bool
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Shows everything on this machine alone: no account, no set-up",
		Long: `Starts a stand-in GitLab with real git over HTTP and a stand-in Zendesk, both on this machine alone, and the real
service between them: the receiver of hooks, and an empty store in a temporary folder, which is removed at the end. It
prints a "git clone" line; whatever you push there is synced within a second. Ctrl-C ends it. No configuration is read.

With --once it plays a scripted story to the end instead, checks each of its steps, and exits 0. It needs git.`,
		Example: `  contactsync demo
  contactsync demo --once`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLoopback(listen); err != nil {
				return usagef(cmd, "--listen %s: %v", listen, err)
			}
			if p.output == outputJSON {
				return usagef(cmd, "the demo tells a story to people; it has no JSON")
			}
			return p.demo(cmd.Context(), listen, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "play the scripted story, then exit")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDR` of the stand-in GitLab: a port of this machine alone, 0 for any")
	return cmd
}

// checkLoopback refuses addresses that others can reach: whoever can reach the demo may push to it.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return errors.New("only addresses of this machine alone, such as 127.0.0.1:8080")
	}
	return nil
}

func (p *program) demo(ctx context.Context, listen string, once bool) (err error) {
	s, err := p.newStage(ctx, listen)
	if err != nil {
		return fmt.Errorf("setting up the demo: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if once {
		err = p.tellStory(ctx, s)
	} else {
		err = p.followPushes(ctx, s)
	}
	if ctx.Err() != nil && !once {
		return p.say("\nThe demo is over; nothing of it is left.")
	}
	return err
}

// followPushes opens the stage to a person: it sets the project up, invites to push, and syncs whatever is pushed,
// until the context ends.
func (p *program) followPushes(ctx context.Context, s *stage) error {
	if err := p.say("%s", s.opening()); err != nil {
		return err
	}
	if _, err := s.setUp(ctx, p); err != nil {
		return err
	}
	if err := p.say("%s", s.invitation()); err != nil {
		return err
	}
	for {
		run, err := s.nextRun(ctx)
		if err != nil {
			return err // the person ended it
		}
		if err := p.say("\nA push arrived."); err != nil {
			return err
		}
		if err := p.show(run); err != nil {
			return err
		}
		if err := p.showTold(ctx, s, run); err != nil {
			return err
		}
	}
}

// showTold shows what people see on GitLab of a run that was pushed.
func (p *program) showTold(ctx context.Context, s *stage, run contactsync.Run) error {
	if run.Commit == "" {
		return nil
	}
	status, err := s.status(ctx, run.Commit, sync.StatusName)
	if err != nil {
		return err
	}
	if err := p.say("   GitLab, beside the commit: %s: %s", status.State, status.Description); err != nil {
		return err
	}
	if run.Error == nil || run.Error.Who != contactsync.WhoCustomer {
		return nil
	}
	note, err := s.commitNote(ctx, run.Commit)
	if err != nil {
		return err
	}
	return p.quote("GitLab, a note on the commit", note)
}

// quote shows a text that stands on GitLab.
func (p *program) quote(where, text string) error {
	var w strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			line = " " + line
		}
		w.WriteString("   |" + line)
	}
	return p.say("   %s:\n%s", where, w.String())
}

// say writes a paragraph.
func (p *program) say(format string, args ...any) error {
	return write(p.Stdout, fmt.Sprintf(format, args...)+"\n")
}

// show writes a run, and why it failed if it did, in the order of the story: all of it on standard output.
func (p *program) show(run contactsync.Run) error {
	var w strings.Builder
	if run.Error != nil {
		writeFailure(&w, run.Error)
	} else {
		source := projectSource(run)
		if run.Project == "" {
			source = "contacts.yaml"
		}
		writeRun(&w, run, source, p.palette())
	}
	return write(p.Stdout, indented(w.String()))
}

// indented sets what programs say apart from the story.
func indented(text string) string {
	var w strings.Builder
	for line := range strings.Lines(text) {
		w.WriteString("   " + line)
	}
	return w.String()
}
