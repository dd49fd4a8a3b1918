package engine

// A Host answers what a snippet asks of the program while it runs. The worker in this process calls it on the goroutine
// that called Run, and on others for threads that the snippet started; a worker in another process carries request and
// answer as messages. It must not panic. If it does not return, a call in this process does not either; one in another returns when that is killed.
type Host func(Request) Answer

// Streams says which of a call's standard streams are the Host's. Without it, input is empty and output is kept.
type Streams uint8

// The streams that can be the Host's.
const (
	Stdin Streams = 1 << iota
	Stdout
	Stderr
)

// Ask is the kind of a Request.
type Ask uint8

// What a snippet can ask.
const (
	AskCall  Ask = iota + 1 // call a function
	AskWrite                // write to a stream
	AskRead                 // read from the input
	AskEnd                  // nothing: the call is over; not sent if nothing was asked before
)

// A Request is a question to a Host.
type Request struct {
	Ask    Ask
	Index  int    // of the function in Call.Functions; of the stream to write to, 1 (output) or 2 (errors)
	Data   []byte // CBOR [[positional arguments], {keyword: value}], or what to write; valid until the Host returns
	Max    int    // bytes to read at most
	Ticket uint64 // writes come in the order of their tickets, which count from 0 in each call
	Thread int    // id of the OS thread that the Host is called on; 0 if the question came from elsewhere
	Own    bool   // the snippet's own thread asks: one question at a time, all of a call on one goroutine
}

// Outcome is the kind of an Answer.
type Outcome uint8

// What can come of a Request.
const (
	Answered     Outcome = iota // Data is the result, in CBOR, or what was read; none at the end of the input
	Failed                      // Data is the CBOR array of the error's id, Go type and message
	BadArguments                // Data is text that says so, to follow the function's name
	Over                        // the call has ended
)

// An Answer is what comes of a Request.
type Answer struct {
	Outcome Outcome
	Data    []byte
}
