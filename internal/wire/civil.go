package wire

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Date is a Python datetime.date: a day of the calendar, in no time zone.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// String is the date as ISO 8601 writes it, 2006-01-02.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// TimeOfDay is a Python datetime.time. Python keeps microseconds.
type TimeOfDay struct {
	Hour, Minute, Second, Nanosecond int
	Fold                             int // 1: the second of two times that look alike, when clocks are turned back
	// Zone is empty for a time in no zone, a name like "Europe/Berlin" for one of zoneinfo's, "UTC", an offset
	// "+01:00", or an offset with a name, "+01:00 CET".
	Zone string
}

// String is the time as ISO 8601 writes it, and its zone.
func (t TimeOfDay) String() string {
	s := fmt.Sprintf("%02d:%02d:%02d", t.Hour, t.Minute, t.Second) + fraction(t.Nanosecond)
	if t.Zone != "" && t.Zone[0] != '+' && t.Zone[0] != '-' {
		s += " "
	}
	return s + t.Zone
}

// DateTime is a Python datetime.datetime that is in no time zone, or an item of a numpy array of datetime64. One that is
// in a zone is a time.Time. Python's own keeps microseconds and the years 1 to 9999.
type DateTime struct {
	Year                                  int
	Month                                 time.Month
	Day, Hour, Minute, Second, Nanosecond int
	Fold                                  int // 1: the second of two times that look alike, when clocks are turned back
}

// String is date and time as ISO 8601 writes them, 2006-01-02T15:04:05.
func (t DateTime) String() string {
	return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", t.Year, t.Month, t.Day, t.Hour, t.Minute, t.Second) +
		fraction(t.Nanosecond)
}

// In returns the time that a clock in loc shows as t.
func (t DateTime) In(loc *time.Location) time.Time {
	return time.Date(t.Year, t.Month, t.Day, t.Hour, t.Minute, t.Second, t.Nanosecond, loc)
}

func fraction(ns int) string {
	if ns == 0 {
		return ""
	}
	return strings.TrimRight(fmt.Sprintf(".%09d", ns), "0")
}

// TimeDelta is a Python datetime.timedelta that is too long for a time.Duration, which holds 292 years: the sum of its
// fields, of which only Days can be negative.
type TimeDelta struct {
	Days, Seconds, Microseconds int
}

// zone of the wire: an offset in seconds, a name, and is that a key of zoneinfo?
type zone struct {
	naive, hasOffset bool
	offset           int
	name             string
	key              bool
}

const day = 24 * 60 * 60

func (r *reader) zone() (z zone, err error) {
	v, err := r.value()
	if err != nil || v == nil {
		return zone{naive: true}, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != 3 {
		return z, ErrMalformed
	}
	if list[0] != nil {
		offset, ok := list[0].(int64)
		if !ok || offset <= -day || offset >= day {
			return z, ErrMalformed
		}
		z.offset, z.hasOffset = int(offset), true
	}
	if list[1] != nil {
		if z.name, ok = list[1].(string); !ok {
			return z, ErrMalformed
		}
	}
	if z.key, ok = list[2].(bool); !ok || (!z.key && !z.hasOffset) {
		return z, ErrMalformed
	}
	return z, nil
}

func (r *reader) ints(n int) ([]int, error) {
	all := make([]int, n)
	for i := range all {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		x, ok := v.(int64)
		if !ok || x < math.MinInt32 || x > math.MaxInt32 {
			return nil, ErrMalformed
		}
		all[i] = int(x)
	}
	return all, nil
}

// dateTime reads a DateTime, or a time.Time if it is in a zone.
func (r *reader) dateTime() (any, error) {
	if err := r.fixed(9); err != nil {
		return nil, err
	}
	p, err := r.ints(8)
	if err != nil {
		return nil, err
	}
	z, err := r.zone()
	if err != nil {
		return nil, err
	}
	t := DateTime{p[0], time.Month(p[1]), p[2], p[3], p[4], p[5], p[6], p[7]}
	if z.naive {
		return t, nil
	}
	if !z.hasOffset {
		return nil, ErrMalformed
	}
	return z.at(t), nil
}

// at is the time at which clocks in the zone showed t, as Python's offset has it. If the host does not know the zone, or
// knows it otherwise, it is one of that offset.
func (z zone) at(t DateTime) time.Time {
	fixed := time.UTC
	if z.offset != 0 || z.name != "" {
		fixed = time.FixedZone(z.name, z.offset)
	}
	in := t.In(fixed)
	if !z.key {
		return in
	}
	loc, err := time.LoadLocation(z.name)
	if err != nil {
		return in
	}
	if there := in.In(loc); offsetOf(there) == z.offset {
		return there
	}
	return in
}

func offsetOf(t time.Time) int {
	_, offset := t.Zone()
	return offset
}

func (r *reader) timeOfDay() (t TimeOfDay, err error) {
	if err := r.fixed(6); err != nil {
		return t, err
	}
	p, err := r.ints(5)
	if err != nil {
		return t, err
	}
	z, err := r.zone()
	t = TimeOfDay{p[0], p[1], p[2], p[3], p[4], z.String()}
	return t, err
}

// String is the zone of a TimeOfDay.
func (z zone) String() string {
	switch {
	case z.naive:
		return ""
	case z.key:
		return z.name
	case z.offset == 0 && z.name == "":
		return "UTC"
	}
	s := formatOffset(z.offset)
	if z.name != "" {
		s += " " + z.name
	}
	return s
}

func formatOffset(n int) string {
	sign := '+'
	if n < 0 {
		sign, n = '-', -n
	}
	s := fmt.Sprintf("%c%02d:%02d", sign, n/3600, n/60%60)
	if n%60 != 0 {
		s += fmt.Sprintf(":%02d", n%60)
	}
	return s
}

func parseZone(s string) (zone, error) {
	switch {
	case s == "":
		return zone{naive: true}, nil
	case s == "UTC":
		return zone{hasOffset: true}, nil
	case s[0] != '+' && s[0] != '-':
		return zone{name: s, key: true}, nil
	}
	offset, name, _ := strings.Cut(s, " ")
	var h, m, sec int
	var end string
	n, _ := fmt.Sscanf(offset[1:]+" ", "%2d:%2d:%2d%s", &h, &m, &sec, &end)
	total := h*3600 + m*60 + sec
	if s[0] == '-' {
		total = -total
	}
	if n < 2 || formatOffset(total) != offset {
		return zone{}, fmt.Errorf("zone %.40q is neither a name nor an offset like +01:00", s)
	}
	return zone{hasOffset: true, offset: total, name: name}, nil
}

func (r *reader) date() (d Date, err error) {
	s, err := r.text()
	if err != nil {
		return d, err
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return d, ErrMalformed
	}
	return Date{t.Year(), t.Month(), t.Day()}, nil
}

// delta reads a time.Duration, or a TimeDelta if it does not fit one.
func (r *reader) delta() (any, error) {
	if err := r.fixed(3); err != nil {
		return nil, err
	}
	p, err := r.ints(3)
	if err != nil {
		return nil, err
	}
	return asDuration(TimeDelta{p[0], p[1], p[2]}), nil
}

func asDuration(d TimeDelta) any {
	const most = math.MaxInt64 / 1000 // microseconds in a Duration
	if d.Days >= -106752 && d.Days <= 106752 {
		us := (int64(d.Days)*day+int64(d.Seconds))*1e6 + int64(d.Microseconds)
		if us >= -most && us <= most {
			return time.Duration(us) * time.Microsecond
		}
	}
	return d
}

var (
	errFine  = errors.New("it has parts of a microsecond, which Python cannot keep: truncate it, as in t.Truncate(time.Microsecond)")
	errYears = errors.New("it is not within Python's years, 1 to 9999")
)

func appendZone(b []byte, z zone) []byte {
	if z.naive {
		return append(b, simpleNull)
	}
	b = appendHead(b, majorArray, 3)
	if z.hasOffset {
		b = appendInt(b, int64(z.offset))
	} else {
		b = append(b, simpleNull)
	}
	if z.name != "" {
		b = appendText(b, z.name)
	} else {
		b = append(b, simpleNull)
	}
	if z.key {
		return append(b, simpleTrue)
	}
	return append(b, simpleFalse)
}

func (e *encoder) dateTime(b []byte, t DateTime, z zone) ([]byte, error) {
	if t.Nanosecond%1000 != 0 && !e.own {
		return nil, errFine
	}
	if (t.Year < 1 || t.Year > 9999) && !e.own {
		return nil, errYears
	}
	b = appendHead(appendHead(b, majorTag, tagDateTime), majorArray, 9)
	for _, n := range [...]int{t.Year, int(t.Month), t.Day, t.Hour, t.Minute, t.Second, t.Nanosecond, t.Fold} {
		b = appendInt(b, int64(n))
	}
	return appendZone(b, z), nil
}

// time writes a time with its zone: by name if it has one that is more than an abbreviation, else by offset.
func (e *encoder) time(b []byte, t time.Time) ([]byte, error) {
	abbreviation, offset := t.Zone()
	z := zone{hasOffset: true, offset: offset}
	switch name := t.Location().String(); {
	case t.Location() == time.UTC:
	case name == "Local" || name == abbreviation:
		z.name = abbreviation
	default:
		z.name, z.key = name, true
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return e.dateTime(b, DateTime{Year: year, Month: month, Day: day, Hour: hour, Minute: minute, Second: second, Nanosecond: t.Nanosecond()}, z)
}

func (e *encoder) timeOfDay(b []byte, t TimeOfDay) ([]byte, error) {
	if t.Nanosecond%1000 != 0 {
		return nil, errFine
	}
	z, err := parseZone(t.Zone)
	if err != nil {
		return nil, err
	}
	b = appendHead(appendHead(b, majorTag, tagTime), majorArray, 6)
	for _, n := range [...]int{t.Hour, t.Minute, t.Second, t.Nanosecond, t.Fold} {
		b = appendInt(b, int64(n))
	}
	return appendZone(b, z), nil
}

func (e *encoder) date(b []byte, d Date) ([]byte, error) {
	if d.Year < 1 || d.Year > 9999 {
		return nil, errYears
	}
	return appendText(appendHead(b, majorTag, tagDate), d.String()), nil
}

func appendDelta(b []byte, d TimeDelta) []byte {
	b = appendHead(appendHead(b, majorTag, tagDelta), majorArray, 3)
	for _, n := range [...]int{d.Days, d.Seconds, d.Microseconds} {
		b = appendInt(b, int64(n))
	}
	return b
}

func (e *encoder) duration(b []byte, d time.Duration) ([]byte, error) {
	if d%1000 != 0 {
		if e.own {
			b = appendHead(appendHead(b, majorTag, tagDeltas), majorArray, 2)
			return appendInt(appendText(b, "ns"), int64(d)), nil
		}
		return nil, errFine
	}
	us := int64(d / 1000)
	days := floorDiv(us, day*1e6)
	us -= days * day * 1e6
	return appendDelta(b, TimeDelta{int(days), int(us / 1e6), int(us % 1e6)}), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}
