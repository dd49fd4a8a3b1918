package wire

// Series is a pandas Series. Index and Values are slices, alike in length: of bool, numbers or complex numbers if the
// dtype is numpy's, else []any, with nil where nothing is.
type Series struct {
	Name   any // usually a string, or nil
	Index  any
	Values any
}

// DataFrame is a pandas DataFrame: its columns in order, and the index that they share. It can be decoded into a slice of
// structs or maps, row by row, or into a struct or map of slices, column by column.
type DataFrame struct {
	Columns []Series
	Index   any
}

// Column returns the column of that name.
func (f DataFrame) Column(name any) (Series, bool) {
	for _, c := range f.Columns {
		if equalKey(c.Name, name) {
			return c, true
		}
	}
	return Series{}, false
}

// rows is the frame as a list of dicts, columns as a dict of lists.
func (f DataFrame) rows() []any {
	var rows []Dict
	for _, c := range f.Columns {
		each(c.Values, func(i int, v any) {
			if i == len(rows) {
				rows = append(rows, nil)
			}
			rows[i] = append(rows[i], Item{c.Name, v})
		})
	}
	all := make([]any, len(rows))
	for i, row := range rows {
		all[i] = row
	}
	return all
}

func (f DataFrame) columns() Dict {
	d := Dict{}
	for _, c := range f.Columns {
		d = append(d, Item{c.Name, list(c.Values)})
	}
	return d
}

// column reads values or an index: a slice.
func (r *reader) column() (any, error) {
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if a, ok := v.(Array); ok && len(a.Shape) == 1 {
		return a.Data, nil
	}
	return nil, ErrMalformed
}

func (r *reader) series() (s Series, err error) {
	if err = r.fixed(3); err != nil {
		return s, err
	}
	if s.Name, err = r.value(); err != nil {
		return s, err
	}
	if s.Index, err = r.column(); err != nil {
		return s, err
	}
	s.Values, err = r.column()
	return s, err
}

func (r *reader) frame() (f DataFrame, err error) {
	if err = r.fixed(3); err != nil {
		return f, err
	}
	names, err := r.column()
	if err != nil {
		return f, err
	}
	if f.Index, err = r.column(); err != nil {
		return f, err
	}
	labels := list(names)
	if err = r.fixed(uint64(len(labels))); err != nil {
		return f, err
	}
	f.Columns = make([]Series, len(labels))
	for i, name := range labels {
		values, err := r.column()
		if err != nil {
			return f, err
		}
		f.Columns[i] = Series{Name: name, Index: f.Index, Values: values}
	}
	return f, nil
}

// categories reads what pandas keeps as numbers of categories: the categories themselves.
func (r *reader) categories() (a Array, err error) {
	if err = r.fixed(2); err != nil {
		return a, err
	}
	names, err := r.column()
	if err != nil {
		return a, err
	}
	codes, err := r.column()
	if err != nil {
		return a, err
	}
	labels, values := list(names), []any{}
	bad := false
	each(codes, func(_ int, code any) {
		n, ok := code.(int64)
		switch {
		case ok && n == -1:
			values = append(values, nil)
		case ok && n >= 0 && n < int64(len(labels)):
			values = append(values, labels[n])
		default:
			bad = true
		}
	})
	if bad {
		return a, ErrMalformed
	}
	return Array{Shape: []int{len(values)}, Data: values}, nil
}

// masked reads values of which some are not there.
func (r *reader) masked() (a Array, err error) {
	if err = r.fixed(2); err != nil {
		return a, err
	}
	data, err := r.column()
	if err != nil {
		return a, err
	}
	v, err := r.column()
	if err != nil {
		return a, err
	}
	mask, ok := v.([]bool)
	values := list(data)
	if !ok || len(mask) != len(values) {
		return a, ErrMalformed
	}
	for i, missing := range mask {
		if missing {
			values[i] = nil
		}
	}
	return Array{Shape: []int{len(values)}, Data: values}, nil
}
