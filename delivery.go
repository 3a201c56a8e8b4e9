package contactsync

import "time"

// Delivery is an authentic hook that asks for a run of a project. Whatever else the hook said is not kept.
type Delivery struct {
	Project  int64
	Key      string // the sender's Idempotency-Key, the same when it sends the hook again; "" where it gave none
	Event    string // what happened there: "push"
	Received time.Time
}

// Receipt is what became of a delivery once it was stored.
type Receipt struct {
	ID string // of the delivery
	// Joined says that the delivery was known already, and that the run which it asked for is still to come or was
	// successful a moment ago: no further run follows.
	Joined bool
}
