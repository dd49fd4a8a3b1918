/* object.c: instances of classes that Python code defines, read by the fields in their C structs: enums, dataclasses,
 * namedtuples, and what known.c knows. Nothing here looks an attribute up the usual way, since that can end in a
 * snippet's code; and dicts are walked, not searched, since a search compares keys by their __eq__. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

enum { MAX_WORK = 1 << 25 }; /* keys of dicts compared for one variable: tenths of a second */

typedef enum {
    UNKNOWN,
    BUILTIN, /* a subclass of a built-in type, with nothing to it */
    ENUM,
    NAMEDTUPLE,
    DATACLASS,
    COMPLEX,
    DECIMAL,
    FRACTION,
    UUID,
    PATH,
    DATETIME,
    DATE,
    TIME,
    DELTA,
    NDARRAY,
    NDARRAY_SUBCLASS,
    NP_SCALAR,
    BUFFER,
    SERIES,
    FRAME,
    INDEX,
    PD_ARRAY,
    ITERATOR
} kind;

PyObject *
pyexec_dict_get(pyexec_writer *w, PyObject *dict, const char *name)
{
    PyObject *key = NULL, *value = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    size_t n = strlen(name);
    while (PyDict_Next(dict, &pos, &key, &value)) {
        if (++w->work > MAX_WORK) {
            return NULL;
        }
        if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key) && (size_t)PyUnicode_GET_LENGTH(key) == n &&
            memcmp(PyUnicode_1BYTE_DATA(key), name, n) == 0) {
            return value;
        }
    }
    return NULL;
}

static PyObject * /* borrowed, or NULL */
get(pyexec_writer *w, PyObject *dict, PyObject *name /* exact str */)
{
    PyObject *key = NULL, *value = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    while (PyDict_Next(dict, &pos, &key, &value)) {
        if (++w->work > MAX_WORK) {
            return NULL;
        }
        if (key == name || (PyUnicode_CheckExact(key) && PyUnicode_GET_LENGTH(key) == PyUnicode_GET_LENGTH(name) &&
                            PyUnicode_Compare(key, name) == 0)) {
            return value;
        }
    }
    return NULL;
}

/* Of classes that Python code made only: others have none of what is looked for. */
static PyObject * /* borrowed, or NULL */
class_get(pyexec_writer *w, PyTypeObject *type, PyObject *name, const char *text)
{
    PyObject *mro = type->tp_mro; /* borrowed */
    for (Py_ssize_t i = 0; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *t = (PyTypeObject *)PyTuple_GET_ITEM(mro, i); /* borrowed */
        if ((t->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 || t->tp_dict == NULL) {
            continue;
        }
        PyObject *v = name != NULL ? get(w, t->tp_dict, name) : pyexec_dict_get(w, t->tp_dict, text);
        if (v != NULL) {
            return v;
        }
    }
    return NULL;
}

static PyObject * /* new, or NULL */
instance_dict(PyObject *v)
{
    if (Py_TYPE(v)->tp_dictoffset == 0 && (Py_TYPE(v)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        return NULL;
    }
    PyObject *dict = PyObject_GenericGetDict(v, NULL); /* new */
    if (dict == NULL || !PyDict_Check(dict)) {
        PyErr_Clear();
        Py_CLEAR(dict);
    }
    return dict;
}

PyObject *
pyexec_field(pyexec_writer *w, PyObject *v, const char *name)
{
    PyObject *dict = instance_dict(v);                                               /* new */
    PyObject *field = dict == NULL ? NULL : Py_XNewRef(pyexec_dict_get(w, dict, name)); /* new */
    Py_XDECREF(dict);
    return field;
}

static PyObject * /* new, or NULL */
read_slot(PyObject *descriptor, PyObject *v)
{
    PyObject *value = NULL;
    if (PyObject_TypeCheck(v, PyDescr_TYPE(descriptor))) {
        value = Py_TYPE(descriptor)->tp_descr_get(descriptor, v, (PyObject *)Py_TYPE(v)); /* new */
    }
    PyErr_Clear();
    return value;
}

PyObject *
pyexec_slot(const pyexec_known *known, int which, PyObject *v)
{
    return known->at[which] == NULL || v == NULL ? NULL : read_slot(known->at[which], v);
}

static int
encode_enum(pyexec_writer *w, PyObject *v)
{
    PyObject *value = pyexec_field(w, v, "_value_"); /* new */
    if (value == NULL) {
        return pyexec_encode_fail(w, "it is an enum without a value", v);
    }
    int result = pyexec_encode(w, value);
    Py_DECREF(value);
    return result;
}

/* The names of a namedtuple's items, or NULL if it is a tuple of another kind. */
static PyObject * /* borrowed */
item_names(pyexec_writer *w, PyTypeObject *type)
{
    PyObject *names = class_get(w, type, NULL, "_fields"); /* borrowed */
    if (names == NULL || !PyTuple_CheckExact(names)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(names, i))) {
            return NULL;
        }
    }
    return names;
}

static int
encode_namedtuple(pyexec_writer *w, PyObject *v)
{
    PyObject *names = item_names(w, Py_TYPE(v)); /* borrowed */
    Py_ssize_t n = PyTuple_GET_SIZE(v);
    if (names == NULL || PyTuple_GET_SIZE(names) != n) {
        return pyexec_encode_builtin(w, v);
    }
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_RECORD);
    pyexec_cbor_head(w->out, CBOR_MAP, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (pyexec_encode(w, PyTuple_GET_ITEM(names, i)) < 0 || pyexec_encode(w, PyTuple_GET_ITEM(v, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject * /* new, or NULL */
field_value(pyexec_writer *w, PyObject *v, PyObject *dict /* may be NULL */, PyObject *name)
{
    PyObject *value = dict == NULL ? NULL : get(w, dict, name); /* borrowed */
    if (value == NULL) {
        value = class_get(w, Py_TYPE(v), name, NULL); /* borrowed */
        if (value != NULL && Py_IS_TYPE(value, &PyMemberDescr_Type)) {
            return read_slot(value, v);
        }
        if (value != NULL && Py_TYPE(value)->tp_descr_get != NULL) {
            value = NULL;
        }
    }
    return Py_XNewRef(value);
}

static int
encode_dataclass(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    PyObject *fields = class_get(w, Py_TYPE(v), NULL, "__dataclass_fields__"); /* borrowed */
    PyObject *key = NULL, *field = NULL;                                       /* borrowed */
    PyObject *dict = instance_dict(v);                                         /* new, or NULL */
    Py_ssize_t pos = 0;
    int result = 0;
    if (fields == NULL || !PyDict_Check(fields)) {
        Py_XDECREF(dict);
        return pyexec_encode_fail(w, "its type has no Go form", v);
    }
    pyexec_buf_byte(w->out, CBOR_OPEN_MAP);
    while (result == 0 && PyDict_Next(fields, &pos, &key, &field)) {
        PyObject *of = pyexec_slot(known, KNOWN_FIELD_KIND, field); /* new */
        Py_XDECREF(of);                                             /* only compared with */
        if (of != known->at[KNOWN_FIELD_PLAIN]) {
            continue; /* a ClassVar or InitVar */
        }
        PyObject *value = PyUnicode_CheckExact(key) ? field_value(w, v, dict, key) : NULL; /* new */
        if (value == NULL) {
            result = pyexec_encode_fail(
                w, w->work > MAX_WORK ? "it takes too long" : "a field of it is not set, or only a property", v);
            break;
        }
        result = pyexec_encode(w, key) < 0 || pyexec_encode(w, value) < 0 ? -1 : 0;
        Py_DECREF(value);
    }
    pyexec_buf_byte(w->out, CBOR_BREAK);
    Py_XDECREF(dict);
    return result;
}

static kind
classify_pandas(const pyexec_known *known, PyTypeObject *type)
{
    static const struct {
        int which;
        kind kind;
    } kinds[] = {
        {KNOWN_PD_FRAME, FRAME},        {KNOWN_PD_SERIES, SERIES},       {KNOWN_PD_INDEX, INDEX},
        {KNOWN_PD_CATEGORICAL, PD_ARRAY}, {KNOWN_PD_DATETIMES, PD_ARRAY}, {KNOWN_PD_TIMEDELTAS, PD_ARRAY},
        {KNOWN_PD_MASKED, PD_ARRAY},    {KNOWN_PD_STRINGS, PD_ARRAY},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (pyexec_is(known, kinds[i].which, type)) {
            return kinds[i].kind;
        }
    }
    return UNKNOWN;
}

/* What instances of v's type are encoded as. */
static kind
classify(pyexec_writer *w, PyObject *v)
{
    PyTypeObject *type = Py_TYPE(v);
    const pyexec_known *known = &w->k->known;
    const unsigned long builtin = Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_TUPLE_SUBCLASS |
                                  Py_TPFLAGS_BYTES_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS;
    static const struct {
        int which;
        kind kind;
    } kinds[] = {
        {KNOWN_DECIMAL, DECIMAL},   {KNOWN_DATETIME, DATETIME},       {KNOWN_DATE, DATE},
        {KNOWN_TIME, TIME},         {KNOWN_DELTA, DELTA},             {KNOWN_FRACTION, FRACTION},
        {KNOWN_UUID, UUID},         {KNOWN_PATH_PURE, PATH},          {KNOWN_NDARRAY, NDARRAY_SUBCLASS},
        {KNOWN_NP_GENERIC, NP_SCALAR},
    };
    if (pyexec_is(known, KNOWN_ENUM, Py_TYPE(type))) {
        return ENUM;
    }
    if ((type->tp_flags & Py_TPFLAGS_TUPLE_SUBCLASS) != 0) {
        return item_names(w, type) != NULL ? NAMEDTUPLE : BUILTIN;
    }
    if ((type->tp_flags & builtin) != 0 || PyType_IsSubtype(type, &PyFloat_Type) ||
        PyType_IsSubtype(type, &PySet_Type) || PyType_IsSubtype(type, &PyFrozenSet_Type) ||
        PyType_IsSubtype(type, &PyByteArray_Type)) {
        return BUILTIN;
    }
    if (PyType_IsSubtype(type, &PyComplex_Type)) {
        return COMPLEX;
    }
    if (type == (PyTypeObject *)known->at[KNOWN_NDARRAY]) {
        return NDARRAY;
    }
    if (type == &PyMemoryView_Type || type == (PyTypeObject *)known->at[KNOWN_ARRAY]) {
        return BUFFER;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (pyexec_is(known, kinds[i].which, type)) {
            return kinds[i].kind;
        }
    }
    kind of = known->at[KNOWN_PD_SERIES] == NULL ? UNKNOWN : classify_pandas(known, type);
    if (of == UNKNOWN && known->at[KNOWN_FIELD_PLAIN] != NULL &&
        class_get(w, type, NULL, "__dataclass_fields__") != NULL) {
        of = DATACLASS;
    }
    if (of == UNKNOWN && PyIter_Check(v)) {
        of = ITERATOR;
    }
    return of;
}

static int
encode_kind(pyexec_writer *w, kind of, PyObject *v)
{
    switch (of) {
    case BUILTIN:
        return pyexec_encode_builtin(w, v);
    case ENUM:
        return encode_enum(w, v);
    case NAMEDTUPLE:
        return encode_namedtuple(w, v);
    case DATACLASS:
        return encode_dataclass(w, v);
    case COMPLEX:
        return pyexec_encode_complex(w, v);
    case DECIMAL:
        return pyexec_encode_decimal(w, v);
    case FRACTION:
        return pyexec_encode_fraction(w, v);
    case UUID:
        return pyexec_encode_uuid(w, v);
    case PATH:
        return pyexec_encode_path(w, v);
    case DATETIME:
        return pyexec_encode_datetime(w, v);
    case DATE:
        return pyexec_encode_date(w, v);
    case TIME:
        return pyexec_encode_time(w, v);
    case DELTA:
        return pyexec_encode_delta(w, v);
    case NDARRAY:
        return pyexec_encode_ndarray(w, v);
    case NDARRAY_SUBCLASS:
        return pyexec_encode_fail(w, "its class derives from numpy.ndarray, and may hold more: take numpy.array of it", v);
    case NP_SCALAR:
        return pyexec_encode_np_scalar(w, v);
    case BUFFER:
        return pyexec_encode_buffer(w, v);
    case SERIES:
        return pyexec_encode_series(w, v);
    case FRAME:
        return pyexec_encode_frame(w, v);
    case INDEX:
        return pyexec_encode_index(w, v);
    case PD_ARRAY:
        return pyexec_encode_pd_array(w, v);
    case ITERATOR:
        return pyexec_encode_fail(w, "an iterator has no Go form: make a list of it", v);
    default:
        return pyexec_encode_fail(w, "its type has no Go form", v);
    }
}

int
pyexec_encode_object(pyexec_writer *w, PyObject *v)
{
    if (w->k == NULL) {
        return PyComplex_CheckExact(v) ? pyexec_encode_complex(w, v) : pyexec_encode_builtin(w, v);
    }
    if (v == w->k->known.at[KNOWN_PD_NAT] || v == w->k->known.at[KNOWN_PD_NA]) {
        pyexec_buf_byte(w->out, CBOR_NULL);
        return 0;
    }
    if (w->seen != Py_TYPE(v)) { /* no type ends while a value is encoded, so none can take another's address */
        w->seen_kind = (int)classify(w, v);
        w->seen = Py_TYPE(v);
    }
    return encode_kind(w, (kind)w->seen_kind, v);
}
