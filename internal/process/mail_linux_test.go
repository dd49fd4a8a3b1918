package process

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec/internal/engine"
)

func testBox() box { return newBox(make([]byte, mailSize)) }

// Each message comes exactly once and whole: by mail, or, if post says so, as it must then be sent otherwise.
func TestMailLosesNothing(t *testing.T) {
	const messages = 20_000
	b := testBox()
	socket, turn := make(chan []byte, 1), make(chan struct{})
	go func() {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range messages {
			<-turn
			for range r.IntN(3) * r.IntN(3000) { // sometimes when the other has stopped to look
				runtime.KeepAlive(i)
			}
			message, texts := []byte{byte(i), byte(i >> 8)}, [5][]byte{{byte(i)}, bytes.Repeat([]byte{byte(i)}, r.IntN(mailSize))}
			if !b.post(message, &texts) {
				socket <- bytes.Join(append([][]byte{message}, texts[:]...), nil)
			}
		}
	}()
	mailed, buf := 0, make([]byte, mailSize)
	for i := range messages {
		b.open()
		turn <- struct{}{}
		message := buf[:b.look(buf)]
		if len(message) == 0 {
			message = <-socket
		} else {
			mailed++
		}
		require.GreaterOrEqual(t, len(message), 3)
		require.Equal(t, []byte{byte(i), byte(i >> 8)}, message[:2])
		require.Equal(t, bytes.Repeat(message[:1], len(message)-2), message[2:], "all of it is of that message")
		require.Empty(t, socket)
	}
	t.Logf("%d of %d by mail", mailed, messages)
}

func TestMailThatNobodyLooksFor(t *testing.T) {
	b := testBox()
	assert.False(t, b.post([]byte("abc"), &[5][]byte{}))
	b.open()
	assert.False(t, b.post([]byte("abc"), &[5][]byte{2: make([]byte, mailSize)}), "too long")
	assert.Zero(t, b.look(make([]byte, mailSize)), "which it is told, so that it looks elsewhere")
	assert.False(t, b.post([]byte("abc"), &[5][]byte{}), "and only once")
	b.open()
	assert.True(t, b.post([]byte("abc"), &[5][]byte{0: []byte("de"), 4: []byte("f")}))
	assert.False(t, b.post([]byte("xyz"), &[5][]byte{}), "that one is taken first")
	into := make([]byte, 10)
	assert.Equal(t, 6, b.look(into))
	assert.Equal(t, "abcdef", string(into[:6]))
}

// A snippet can write to its worker's mail whatever it likes. It is read as garbage, and never beyond the box.
func TestMailOfAWorkerThatLies(t *testing.T) {
	m := &mail{replies: testBox()}
	into := make([]byte, smallCall)
	for _, word := range []uint32{2, 3, 5, 46, 48, 49, 2 * mailSize, 2*mailSize - 128, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		for i := range m.replies.bytes {
			m.replies.bytes[i] = byte(rand.Uint32())
		}
		m.open()
		atomic.StoreUint32(m.replies.word, word)
		n := m.look(into)
		assert.LessOrEqual(t, n, mailSize-mailHead)
		in := reader{proc: &proc{socket: -1}, nonce: 7, limit: 1 << 20, buf: into, end: n}
		_, _, err := in.next()
		require.Error(t, err, word)
	}
	// a head that is right, and a length that is not: the rest would have to come over the socket
	m.open()
	head := appendHead(nil, messageReply, 1000, 7)
	require.True(t, m.replies.post(head, &[5][]byte{}))
	in := reader{proc: &proc{socket: -1}, nonce: 7, limit: 1 << 20, buf: into, end: m.look(into)}
	_, _, err := in.next()
	require.Error(t, err)
	// and a body that is not
	m.open()
	require.True(t, m.replies.post(appendHead(nil, messageReply, replySize, 7), &[5][]byte{bytes.Repeat([]byte{0xff}, replySize)}))
	in = reader{proc: &proc{socket: -1}, nonce: 7, limit: 1 << 20, buf: into, end: m.look(into)}
	_, body, err := in.next()
	require.NoError(t, err)
	require.ErrorIs(t, decodeReply(body, &engine.Reply{}), errGarbage)
}

// Looking in vain is done less and less often, and as often as ever after it was not in vain.
func TestMailIsLookedForLessAfterMisses(t *testing.T) {
	m := &mail{replies: testBox()}
	into := make([]byte, mailSize)
	looks := 0
	for range 1000 {
		if m.open() {
			m.look(into)
			looks++
		}
	}
	assert.Less(t, looks, 50)
	for !m.open() {
	}
	require.True(t, m.replies.post([]byte("abc"), &[5][]byte{}))
	require.Equal(t, 3, m.look(into))
	assert.True(t, m.open())
}
