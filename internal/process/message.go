package process

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// The structs of internal/kernel/process.h: the other side is the same binary on the same machine.
var order = binary.NativeEndian

const (
	headSize  = 4 + 4 + 8 + 8
	callSize  = 7*8 + 2*4
	replySize = 4 + 4 + 8 + 8 + 8*8

	messageCall   = 0x70790001
	messageReply  = messageCall + 1
	messageAsk    = messageCall + 2
	messageAnswer = messageCall + 3

	askSize    = 3*8 + 4*4
	answerSize = 8 + 2*4
)

// Flags of pyexec_run and of its replies, and statuses (kernel.h).
const (
	runReset, runSplit, runCompileOnly, runStdin = 1, 2, 4, 8

	replyCompiled, replyStdoutCut, replyStderrCut, replyMore, replyStopped, replyMemory = 1, 4, 8, 16, 32, 64
)

var errGarbage = errors.New("it wrote what is no reply to its connection")

// appendCall appends all of a call's message but its long texts, Vars first of all.
func appendCall(b []byte, c *engine.Call, nonce uint64) []byte {
	length := callSize + len(c.Name) + len(c.Code) + len(c.Vars) + len(c.Want) + len(c.Functions)
	b = appendHead(b, messageCall, uint64(length), nonce)
	b = order.AppendUint64(b, c.ID)
	b = order.AppendUint64(b, c.Hash)
	for _, n := range [5]int{len(c.Name), len(c.Code), len(c.Vars), len(c.Want), len(c.Functions)} {
		b = order.AppendUint64(b, uint64(n))
	}
	var flags uint32
	if c.Reset {
		flags |= runReset
	}
	if c.Split {
		flags |= runSplit
	}
	if c.CompileOnly {
		flags |= runCompileOnly
	}
	var hasHost uint32
	if c.Host != nil {
		hasHost = 1
		flags |= uint32(c.Streams) * runStdin
	}
	b = order.AppendUint32(b, flags)
	return order.AppendUint32(b, hasHost)
}

func appendHead(b []byte, kind uint32, length, nonce uint64) []byte {
	b = order.AppendUint32(b, kind)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint64(b, length)
	return order.AppendUint64(b, nonce)
}

// A head begins each message.
type head struct {
	kind   uint32
	length uint64
	nonce  uint64
}

func decodeHead(b []byte) head {
	return head{kind: order.Uint32(b), length: order.Uint64(b[8:]), nonce: order.Uint64(b[16:])}
}

// An ask is a question of the call that runs, and the number that its answer must have.
type ask struct {
	id uint64
	engine.Request
}

func decodeAsk(body []byte) ask {
	return ask{id: order.Uint64(body), Request: engine.Request{
		Ticket: order.Uint64(body[8:]),
		Max:    int(min(order.Uint64(body[16:]), math.MaxInt32)),
		Ask:    engine.Ask(order.Uint32(body[24:])),
		Index:  int(order.Uint32(body[28:])),
		Own:    order.Uint32(body[32:]) != 0,
		Data:   body[askSize:],
	}}
}

func appendAnswer(b []byte, id uint64, a engine.Answer) []byte {
	b = appendHead(b, messageAnswer, uint64(answerSize+len(a.Data)), 0)
	b = order.AppendUint64(b, id)
	b = order.AppendUint32(b, uint32(a.Outcome))
	b = order.AppendUint32(b, 0)
	return append(b, a.Data...)
}

// decodeReply fills r from the body of a reply, whose bytes it keeps. They come from a process that a snippet may have
// taken over, so nothing in them is believed.
func decodeReply(body []byte, r *engine.Reply) error {
	status, flags := order.Uint32(body), order.Uint32(body[4:])
	*r = engine.Reply{
		Plain:     flags&replyMore == 0,
		Compiled:  flags&replyCompiled != 0,
		Cached:    order.Uint64(body[8:]),
		Evictions: order.Uint64(body[16:]),
		StdoutCut: flags&replyStdoutCut != 0,
		StderrCut: flags&replyStderrCut != 0,
		Stopped:   flags&replyStopped != 0,
		Memory:    flags&replyMemory != 0,
	}
	switch status {
	case 0:
		r.Status = engine.OK
	case 1:
		r.Status = engine.Exception
	case 2:
		r.Status = engine.Exit
	case 3:
		r.Status = engine.BadInput
	case 4:
		return engine.ErrNoMemory
	default:
		return errGarbage
	}
	rest := body[replySize:]
	for i, section := range [8]*[]byte{&r.Vars, &r.Value, &r.Skipped, &r.Error, &r.Changes, &r.Taint, &r.Stdout, &r.Stderr} {
		n := order.Uint64(body[24+8*i:])
		if n > uint64(len(rest)) {
			return errGarbage
		}
		*section, rest = rest[:n:n], rest[n:]
	}
	if len(rest) != 0 {
		return errGarbage
	}
	return nil
}
