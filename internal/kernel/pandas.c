/* pandas.c: Series, DataFrame and Index as columns. pandas is Python code, so none of its methods is called: what its
 * objects are made of (a manager with axes and blocks, which hold the arrays) is in C structs and instance dicts, and
 * that is what is read. Of what is made otherwise, nothing is guessed: it has no Go form. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

static const int64_t LIMIT = (int64_t)1 << 60;
static const char OTHERWISE[] = "this pandas is built in a way that pyexec does not know";

static int encode_values(pyexec_writer *w, PyObject *v);

static bool
is_ndarray(pyexec_writer *w, PyObject *v)
{
    return v != NULL && Py_IS_TYPE(v, (PyTypeObject *)w->k->known.at[KNOWN_NDARRAY]);
}

/* Times of a zone are instants in UTC. UTC itself is the one zone that has a Go form here. */
static int
put_zone(pyexec_writer *w, PyObject *dtype /* may be NULL */)
{
    const pyexec_known *known = &w->k->known;
    PyObject *name = NULL;
    bool utc = false;
    PyObject *zone = dtype == NULL ? NULL : pyexec_field(w, dtype, "_tz"); /* new; only a DatetimeTZDtype has one */
    if (zone == NULL || zone == Py_None) {
        Py_XDECREF(zone);
        return 0;
    }
    if (Py_IS_TYPE(zone, (PyTypeObject *)known->at[KNOWN_ZONEINFO])) {
        name = PyObject_GetAttrString(zone, "key"); /* new; in C */
    }
    else if (Py_IS_TYPE(zone, (PyTypeObject *)known->at[KNOWN_TIMEZONE])) {
        name = Py_TYPE(zone)->tp_str(zone); /* new; in C */
    }
    utc = (name != NULL && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "UTC") == 0) ||
          strcmp(Py_TYPE(zone)->tp_name, "UTC") == 0; /* pytz's */
    PyErr_Clear();
    Py_XDECREF(name);
    if (!utc) {
        pyexec_encode_fail(w, "its time zone is not UTC: use tz_convert('UTC')", zone);
    }
    Py_DECREF(zone);
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_UTC);
    return utc ? 0 : -1;
}

static int
encode_backed(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    int result = -1;
    PyObject *array = pyexec_slot(known, KNOWN_PD_BACKED, v);       /* new */
    PyObject *dtype = pyexec_slot(known, KNOWN_PD_BACKED_DTYPE, v); /* new */
    PyObject *categories = NULL;
    if (!is_ndarray(w, array)) {
        pyexec_encode_fail(w, OTHERWISE, v);
        goto done;
    }
    if (pyexec_is(known, KNOWN_PD_CATEGORICAL, Py_TYPE(v))) {
        categories = dtype == NULL ? NULL : pyexec_field(w, dtype, "_categories"); /* new: an Index */
        if (categories == NULL) {
            pyexec_encode_fail(w, OTHERWISE, v);
            goto done;
        }
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_CATEGORIES);
        pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
        result = pyexec_encode_index(w, categories) < 0 ? -1 : pyexec_encode_ndarray(w, array);
        goto done;
    }
    result = put_zone(w, dtype) < 0 ? -1 : pyexec_encode_ndarray(w, array);

done:
    Py_XDECREF(array);
    Py_XDECREF(dtype);
    Py_XDECREF(categories);
    return result;
}

/* Nullable integers, floats and booleans: values, and where there are none. */
static int
encode_masked(pyexec_writer *w, PyObject *v)
{
    int result = -1;
    PyObject *data = pyexec_field(w, v, "_data"); /* new */
    PyObject *mask = pyexec_field(w, v, "_mask"); /* new */
    if (!is_ndarray(w, data) || !is_ndarray(w, mask)) {
        pyexec_encode_fail(w, OTHERWISE, v);
    }
    else {
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_MASKED);
        pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
        result = pyexec_encode_ndarray(w, data) < 0 ? -1 : pyexec_encode_ndarray(w, mask);
    }
    Py_XDECREF(data);
    Py_XDECREF(mask);
    return result;
}

int
pyexec_encode_pd_array(pyexec_writer *w, PyObject *v)
{
    return pyexec_is(&w->k->known, KNOWN_PD_MASKED, Py_TYPE(v)) ? encode_masked(w, v) : encode_backed(w, v);
}

/* An array of any kind, in a block or an index. */
static int
encode_values(pyexec_writer *w, PyObject *v /* borrowed, or NULL */)
{
    const pyexec_known *known = &w->k->known;
    static const int arrays[] = {KNOWN_PD_CATEGORICAL, KNOWN_PD_DATETIMES, KNOWN_PD_TIMEDELTAS, KNOWN_PD_MASKED,
                                 KNOWN_PD_STRINGS};
    if (is_ndarray(w, v)) {
        return pyexec_encode_ndarray(w, v);
    }
    for (size_t i = 0; v != NULL && i < sizeof arrays / sizeof *arrays; i++) {
        if (pyexec_is(known, arrays[i], Py_TYPE(v))) {
            return pyexec_encode_pd_array(w, v);
        }
    }
    return pyexec_encode_fail(w, "a column of that type has no Go form: use astype(object)", v == NULL ? Py_None : v);
}

static int
encode_range(pyexec_writer *w, PyObject *v)
{
    int64_t from = 0, to = 0, step = 0;
    PyObject *range = pyexec_field(w, v, "_range"); /* new */
    bool ok = range != NULL && Py_IS_TYPE(range, &PyRange_Type);
    const char *const names[] = {"start", "stop", "step"};
    int64_t *const values[] = {&from, &to, &step};
    for (int i = 0; ok && i < 3; i++) {
        PyObject *n = PyObject_GetAttrString(range, names[i]); /* new; in C */
        *values[i] = n == NULL ? 0 : PyLong_AsLongLong(n);
        ok = n != NULL && !PyErr_Occurred();
        Py_XDECREF(n);
    }
    PyErr_Clear();
    Py_XDECREF(range);
    ok = ok && step != 0 && from > -LIMIT && from < LIMIT && to > -LIMIT && to < LIMIT && step > -LIMIT && step < LIMIT;
    if (!ok) {
        return pyexec_encode_fail(w, OTHERWISE, v);
    }
    int64_t n = (to - from + step - (step > 0 ? 1 : -1)) / step;
    n = n > 0 ? n : 0;
    if (!pyexec_encode_fits(w, (size_t)n * sizeof n, v)) {
        return -1;
    }
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_TYPED + 8 + 3); /* int64, the bytes in the order that follows */
    pyexec_cbor_head(w->out, CBOR_BYTES, (uint64_t)n * sizeof n);
    for (int64_t i = 0; i < n; i++, from += step) {
        uint8_t bytes[sizeof n];
        for (size_t b = 0; b < sizeof bytes; b++) {
            bytes[b] = (uint8_t)((uint64_t)from >> (56 - 8 * b));
        }
        pyexec_buf_put(w->out, bytes, sizeof bytes);
    }
    return 0;
}

int
pyexec_encode_index(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    if (pyexec_is(known, KNOWN_PD_MULTI_INDEX, Py_TYPE(v))) {
        return pyexec_encode_fail(w, "an index of many levels has no Go form: use reset_index()", v);
    }
    if (pyexec_is(known, KNOWN_PD_RANGE_INDEX, Py_TYPE(v))) {
        return encode_range(w, v);
    }
    PyObject *data = pyexec_is(known, KNOWN_PD_INDEX, Py_TYPE(v)) ? pyexec_field(w, v, "_data") : NULL; /* new */
    int result = data == NULL ? pyexec_encode_fail(w, OTHERWISE, v) : encode_values(w, data);
    Py_XDECREF(data);
    return result;
}

/* The manager's axes and blocks. A Series keeps them in its instance dict, a DataFrame in a C struct. */
static PyObject * /* new, or NULL */
of_manager(pyexec_writer *w, PyObject *manager, int slot, const char *name)
{
    PyObject *v = pyexec_slot(&w->k->known, slot, manager); /* new */
    return v != NULL ? v : pyexec_field(w, manager, name);
}

static PyObject * /* new, or NULL */
values_of(const pyexec_known *known, PyObject *block)
{
    PyObject *v = NULL;
    static const int slots[] = {KNOWN_PD_BLOCK_VALUES, KNOWN_PD_BLOCK_VALUES_1, KNOWN_PD_BLOCK_VALUES_2};
    for (size_t i = 0; v == NULL && i < sizeof slots / sizeof *slots; i++) {
        v = pyexec_slot(known, slots[i], block); /* new */
    }
    return v;
}

int
pyexec_encode_series(pyexec_writer *w, PyObject *v)
{
    int result = -1;
    PyObject *axes = NULL, *blocks = NULL, *values = NULL;
    PyObject *manager = pyexec_field(w, v, "_mgr"); /* new */
    PyObject *name = pyexec_field(w, v, "_name");   /* new */
    if (manager != NULL) {
        axes = of_manager(w, manager, KNOWN_PD_AXES, "axes");       /* new */
        blocks = of_manager(w, manager, KNOWN_PD_BLOCKS, "blocks"); /* new */
    }
    if (axes == NULL || blocks == NULL || !PyList_CheckExact(axes) || !PyTuple_CheckExact(blocks) ||
        PyList_GET_SIZE(axes) != 1 || PyTuple_GET_SIZE(blocks) != 1) {
        pyexec_encode_fail(w, OTHERWISE, v);
        goto done;
    }
    values = values_of(&w->k->known, PyTuple_GET_ITEM(blocks, 0)); /* new */
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_SERIES);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 3);
    if (pyexec_encode(w, name == NULL ? Py_None : name) == 0 &&
        pyexec_encode_index(w, PyList_GET_ITEM(axes, 0)) == 0) {
        result = encode_values(w, values);
    }

done:
    Py_XDECREF(manager);
    Py_XDECREF(name);
    Py_XDECREF(axes);
    Py_XDECREF(blocks);
    Py_XDECREF(values);
    return result;
}

/* ---- DataFrame: blocks hold columns of one type together, as rows of an array ---- */

typedef struct {
    PyObject *values; /* owned */
    Py_ssize_t row;   /* of values, if it is an ndarray */
} column;

/* Row i of an array of two dimensions, as an array. numpy's subscript is C; so is its result. */
static PyObject * /* new */
row_of(PyObject *array, Py_ssize_t i)
{
    PyObject *v = PySequence_GetItem(array, i); /* new */
    PyErr_Clear();
    return v;
}

static int
find_columns(pyexec_writer *w, PyObject *blocks, column *columns, Py_ssize_t n)
{
    const pyexec_known *known = &w->k->known;
    for (Py_ssize_t b = 0; b < PyTuple_GET_SIZE(blocks); b++) {
        Py_buffer view;
        PyObject *block = PyTuple_GET_ITEM(blocks, b);                         /* borrowed */
        PyObject *placement = pyexec_slot(known, KNOWN_PD_BLOCK_LOCS, block);  /* new */
        PyObject *locs = pyexec_slot(known, KNOWN_PD_LOCS_ARRAY, placement);   /* new: an ndarray of intp */
        PyObject *values = values_of(known, block);   /* new */
        bool ok = is_ndarray(w, locs) && values != NULL && PyObject_GetBuffer(locs, &view, PyBUF_FULL_RO) == 0;
        if (ok) {
            ok = view.ndim == 1 && view.itemsize == (Py_ssize_t)sizeof(Py_ssize_t);
            for (Py_ssize_t i = 0; ok && i < view.shape[0]; i++) {
                Py_ssize_t at = *(const Py_ssize_t *)((const char *)view.buf + i * view.strides[0]);
                ok = at >= 0 && at < n && columns[at].values == NULL;
                if (ok) {
                    columns[at] = (column){Py_NewRef(values), i};
                }
            }
            PyBuffer_Release(&view);
        }
        PyErr_Clear();
        Py_XDECREF(placement);
        Py_XDECREF(locs);
        Py_XDECREF(values);
        if (!ok) {
            return -1;
        }
    }
    return 0;
}

static int
encode_column(pyexec_writer *w, const column *c, PyObject *v)
{
    if (c->values == NULL) {
        return pyexec_encode_fail(w, OTHERWISE, v);
    }
    PyObject *array = NULL;
    bool backed = pyexec_is(&w->k->known, KNOWN_PD_DATETIMES, Py_TYPE(c->values)) ||
                  pyexec_is(&w->k->known, KNOWN_PD_TIMEDELTAS, Py_TYPE(c->values));
    if (backed) { /* these have two dimensions in a block, too */
        PyObject *dtype = pyexec_slot(&w->k->known, KNOWN_PD_BACKED_DTYPE, c->values); /* new */
        int rc = put_zone(w, dtype);
        Py_XDECREF(dtype);
        if (rc < 0) {
            return -1;
        }
        array = pyexec_slot(&w->k->known, KNOWN_PD_BACKED, c->values); /* new */
    }
    else if (is_ndarray(w, c->values)) {
        array = Py_NewRef(c->values);
    }
    else {
        return encode_values(w, c->values);
    }
    PyObject *row = is_ndarray(w, array) ? row_of(array, c->row) : NULL; /* new */
    int result = is_ndarray(w, row) ? pyexec_encode_ndarray(w, row) : pyexec_encode_fail(w, OTHERWISE, v);
    Py_XDECREF(row);
    Py_XDECREF(array);
    return result;
}

int
pyexec_encode_frame(pyexec_writer *w, PyObject *v)
{
    int result = -1;
    Py_ssize_t n = 0;
    column *columns = NULL;
    PyObject *axes = NULL, *blocks = NULL;
    PyObject *manager = pyexec_field(w, v, "_mgr"); /* new */
    if (manager != NULL) {
        axes = of_manager(w, manager, KNOWN_PD_AXES, "axes");       /* new */
        blocks = of_manager(w, manager, KNOWN_PD_BLOCKS, "blocks"); /* new */
    }
    if (axes == NULL || blocks == NULL || !PyList_CheckExact(axes) || !PyTuple_CheckExact(blocks) ||
        PyList_GET_SIZE(axes) != 2) {
        pyexec_encode_fail(w, OTHERWISE, v);
        goto done;
    }
    for (Py_ssize_t b = 0; b < PyTuple_GET_SIZE(blocks); b++) { /* as many columns as the blocks have places for */
        PyObject *placement = pyexec_slot(&w->k->known, KNOWN_PD_BLOCK_LOCS, PyTuple_GET_ITEM(blocks, b)); /* new */
        PyObject *locs = pyexec_slot(&w->k->known, KNOWN_PD_LOCS_ARRAY, placement);                        /* new */
        Py_ssize_t more = is_ndarray(w, locs) ? PySequence_Size(locs) : -1;
        Py_XDECREF(placement);
        Py_XDECREF(locs);
        if (more < 0) {
            pyexec_encode_fail(w, OTHERWISE, v);
            goto done;
        }
        n += more;
    }
    columns = PyMem_Calloc((size_t)n + 1, sizeof *columns);
    if (columns == NULL || find_columns(w, blocks, columns, n) < 0) {
        pyexec_encode_fail(w, columns == NULL ? "out of memory" : OTHERWISE, v);
        goto done;
    }
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_FRAME);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 3);
    if (pyexec_encode_index(w, PyList_GET_ITEM(axes, 0)) < 0 || pyexec_encode_index(w, PyList_GET_ITEM(axes, 1)) < 0) {
        goto done;
    }
    pyexec_cbor_head(w->out, CBOR_ARRAY, (uint64_t)n);
    result = 0;
    for (Py_ssize_t i = 0; i < n && result == 0; i++) {
        result = encode_column(w, &columns[i], v);
    }

done:
    for (Py_ssize_t i = 0; columns != NULL && i < n; i++) {
        Py_XDECREF(columns[i].values);
    }
    PyMem_Free(columns);
    Py_XDECREF(manager);
    Py_XDECREF(axes);
    Py_XDECREF(blocks);
    return result;
}
