package wire

import (
	"math"
	"time"
)

// notATime is numpy's NaT.
const notATime = math.MinInt64

// numpyTimes reads a datetime64 or timedelta64, or an array of them.
func (r *reader) numpyTimes(tag uint64, utc bool) (any, error) {
	if err := r.fixed(2); err != nil {
		return nil, err
	}
	unit, err := r.text()
	if err != nil {
		return nil, err
	}
	convert := func(n int64) any { return numpyDelta(unit, n) }
	if tag == tagInstants {
		convert = func(n int64) any {
			t := numpyTime(unit, n)
			if utc {
				return t.In(time.UTC)
			}
			return t
		}
	}
	if _, known := perDay[unit]; !known {
		return nil, ErrMalformed
	}
	one := func(n int64) any {
		if n == notATime {
			return nil
		}
		return convert(n)
	}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case int64:
		return one(v), nil
	case Array:
		ints, ok := v.Data.([]int64)
		if !ok {
			return nil, ErrMalformed
		}
		all := make([]any, len(ints))
		for i, n := range ints {
			all[i] = one(n)
		}
		return Array{Shape: v.Shape, Data: all}, nil
	}
	return nil, ErrMalformed
}

var perDay = map[string]int64{
	"D": 1, "h": 24, "m": 24 * 60, "s": day, "ms": day * 1e3, "us": day * 1e6, "ns": day * 1e9,
}

// split is n units as whole days and nanoseconds.
func split(unit string, n int64) (days, ns int64) {
	per := perDay[unit]
	days = floorDiv(n, per)
	return days, (n - days*per) * (day * 1e9 / per)
}

func numpyTime(unit string, n int64) DateTime {
	days, ns := split(unit, n)
	// Days since 1970-01-01 to a date, by eras of 400 years that begin in March; see RFC 3339 appendix B for the like.
	era := floorDiv(days, 146097) + 4
	doe := days - floorDiv(days, 146097)*146097 + 135080
	if doe >= 146097 {
		doe -= 146097
		era++
	}
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	month := mp + 3
	year := yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	s := ns / 1e9
	return DateTime{int(year), time.Month(month), int(doy-(153*mp+2)/5) + 1, int(s / 3600), int(s / 60 % 60), int(s % 60), int(ns % 1e9), 0}
}

func numpyDelta(unit string, n int64) any {
	if unit == "ns" {
		return time.Duration(n)
	}
	days, ns := split(unit, n)
	return asDuration(TimeDelta{int(days), int(ns / 1e9), int(ns % 1e9 / 1e3)})
}
