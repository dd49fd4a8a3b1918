/* values.h: the part of kernel.h that is about values on their way between CBOR and Python. */
#ifndef PYEXEC_VALUES_H
#define PYEXEC_VALUES_H

enum { CBOR_TAG_BIG = 2, CBOR_TAG_NEGATIVE_BIG = 3,
       CBOR_TAG_RATIONAL = 30,      /* [numerator, denominator] */
       CBOR_TAG_UUID = 37,          /* 16 bytes */
       CBOR_TAG_SHAPED = 40,        /* [[length, ...], typed array or array], row by row; RFC 8746 section 3.1.1 */
       CBOR_TAG_TYPED = 64,         /* and up to 87: numbers as bytes, which RFC 8746 section 2.1 lists */
       CBOR_TAG_SET = 258,
       CBOR_TAG_DATE = 1004,        /* "2006-01-02"; RFC 8943 */
       CBOR_TAG_COMPLEX = 43000,    /* [real, imaginary] */
       /* of pyexec's own, from the range that RFC 8949 section 9.2 leaves to first come, first served */
       CBOR_TAG_TUPLE = 60901, CBOR_TAG_FROZENSET = 60902,
       CBOR_TAG_DECIMAL = 60903,    /* text, as Python's str gives it: sign of zero, exponent, specials and all */
       CBOR_TAG_PATH = 60904,       /* text */
       CBOR_TAG_DATETIME = 60905,   /* [year, month, day, hour, minute, second, nanosecond, fold, zone] */
       CBOR_TAG_TIME = 60906,       /* [hour, minute, second, nanosecond, fold, zone] */
       CBOR_TAG_DELTA = 60907,      /* [days, seconds, microseconds] */
       CBOR_TAG_RECORD = 60908,     /* map: the items of a namedtuple by name */
       CBOR_TAG_BOOLS = 60910,      /* bytes, one each */
       CBOR_TAG_COMPLEXES = 60911,  /* typed array of floats, two each */
       CBOR_TAG_INSTANTS = 60912,   /* [unit, shaped or typed array of int64]: numpy's datetime64 */
       CBOR_TAG_DELTAS = 60913,     /* the same, timedelta64 */
       CBOR_TAG_MEMORY = 60914,     /* shaped or typed array: a memoryview of it */
       CBOR_TAG_SERIES = 60915,     /* [name, index, values] */
       CBOR_TAG_FRAME = 60916,      /* [names, index, [values, ...]] */
       CBOR_TAG_CATEGORIES = 60917, /* [categories, codes]; -1 is none */
       CBOR_TAG_MASKED = 60918,     /* [values, where there is none] */
       CBOR_TAG_UTC = 60919         /* INSTANTS that are of UTC, not of no zone */
};

/* decode.c: CBOR to Python. */
enum { PYEXEC_READER_KEYS = 16 };
typedef struct {
    const uint8_t *p, *end;
    uint32_t depth, max_depth;
    PyObject **keys; /* short keys of dicts seen so far, owned by the caller, by a sum of theirs; NULL: are not kept */
    const char *reason; /* why it failed, if no Python exception is set */
    pyexec_kernel *k;   /* NULL: only what needs no module can be built */
} pyexec_reader;

PyObject *pyexec_decode(pyexec_reader *r);                                /* new, or NULL */
void *pyexec_decode_fail(pyexec_reader *r, const char *reason);           /* NULL */
bool pyexec_decode_head(pyexec_reader *r, int *major, uint8_t *info, uint64_t *n);
bool pyexec_decode_array(pyexec_reader *r, uint64_t *n);                  /* the head of one whose length is known */
bool pyexec_decode_int(pyexec_reader *r, int64_t *v);
bool pyexec_decode_bytes(pyexec_reader *r, int major, const uint8_t **s, size_t *n); /* major: CBOR_BYTES or CBOR_TEXT */
double pyexec_half_to_double(uint16_t h);
bool pyexec_decode_null(pyexec_reader *r); /* true: there was one, and it is read */
int pyexec_decode_vars(pyexec_kernel *k, PyObject *dict, const char *p, size_t n); /* -1: k->buf holds the error */

/* encode.c: Python to CBOR. Runs no Python code. */
typedef struct {
    pyexec_buf *out;
    uint32_t depth, max_depth;
    size_t max_len;
    const char *reason;    /* why it failed */
    PyTypeObject *culprit; /* borrowed: the type that has no form */
    pyexec_kernel *k;      /* NULL: only the built-in types have a form */
    PyTypeObject *seen;    /* borrowed: the last type that was looked at, */
    int seen_kind;         /* and what came of it */
    size_t work;           /* keys of dicts compared so far */
} pyexec_writer;

int pyexec_encode(pyexec_writer *w, PyObject *v);
int pyexec_encode_builtin(pyexec_writer *w, PyObject *v);          /* as the built-in type it derives from */
int pyexec_encode_fail(pyexec_writer *w, const char *reason, PyObject *v); /* -1 */
void pyexec_encode_double(pyexec_writer *w, double d);
bool pyexec_encode_fits(pyexec_writer *w, size_t n, PyObject *v);  /* false: failed, n more bytes are too many */

/* known.c: types and attributes of modules, caught when the module was imported and no snippet had touched it. */
enum {
    KNOWN_DECIMAL,
    KNOWN_FRACTION, KNOWN_FRACTION_NUMERATOR, KNOWN_FRACTION_DENOMINATOR,
    KNOWN_UUID, KNOWN_UUID_INT, KNOWN_UUID_SAFE, KNOWN_UUID_UNKNOWN,
    KNOWN_PATH, KNOWN_PATH_PURE, KNOWN_PATH_STR, KNOWN_PATH_RAW, KNOWN_PATH_DRIVE, KNOWN_PATH_ROOT, KNOWN_PATH_PARTS,
    KNOWN_ENUM,
    KNOWN_FIELD, KNOWN_FIELD_KIND, KNOWN_FIELD_PLAIN,
    KNOWN_DATETIME, KNOWN_DATE, KNOWN_TIME, KNOWN_DELTA, KNOWN_TIMEZONE, KNOWN_ZONEINFO,
    KNOWN_ARRAY,
    KNOWN_NDARRAY, KNOWN_NDARRAY_DTYPE, KNOWN_NDARRAY_VIEW, KNOWN_DTYPE_STR, KNOWN_NP_INT64, KNOWN_NP_GENERIC,
    KNOWN_NP_GENERIC_DTYPE, KNOWN_NP_DATETIME, KNOWN_NP_DELTA,
    KNOWN_PD_SERIES, KNOWN_PD_FRAME, KNOWN_PD_INDEX, KNOWN_PD_RANGE_INDEX, KNOWN_PD_MULTI_INDEX, KNOWN_PD_NAT,
    KNOWN_PD_NA, KNOWN_PD_TIMESTAMP, KNOWN_PD_TIMESTAMP_NANOSECOND, KNOWN_PD_TIMEDELTA,
    KNOWN_PD_BLOCKS, KNOWN_PD_AXES, KNOWN_PD_BLOCK_LOCS, KNOWN_PD_BLOCK_VALUES, KNOWN_PD_BLOCK_VALUES_1,
    KNOWN_PD_BLOCK_VALUES_2, KNOWN_PD_LOCS_ARRAY,
    KNOWN_PD_BACKED, KNOWN_PD_BACKED_DTYPE, KNOWN_PD_CATEGORICAL, KNOWN_PD_DATETIMES, KNOWN_PD_TIMEDELTAS,
    KNOWN_PD_MASKED, KNOWN_PD_STRINGS,
    KNOWN_END
};

typedef struct {
    PyObject *at[KNOWN_END]; /* owned; NULL: the module is not loaded, or is not the one it should be */
    void *datetime;          /* its C API */
    bool stale;              /* something was imported since all was put back */
} pyexec_known;

void pyexec_known_renew(pyexec_kernel *k);
void pyexec_known_clear(pyexec_kernel *k);
void pyexec_known_imported(pyexec_kernel *k, PyObject *name); /* a module that was just loaded */
PyObject *pyexec_known_need(pyexec_reader *r, int which);     /* borrowed; NULL: failed, its module cannot be imported */

static inline bool
pyexec_is(const pyexec_known *known, int which, PyTypeObject *type)
{
    return known->at[which] != NULL && PyType_IsSubtype(type, (PyTypeObject *)known->at[which]);
}

/* object.c: what is neither built in nor of a subclass known there, by the fields of its instances. */
int pyexec_encode_object(pyexec_writer *w, PyObject *v);
PyObject *pyexec_dict_get(pyexec_writer *w, PyObject *dict, const char *name); /* borrowed, or NULL; no __eq__ is called */
PyObject *pyexec_field(pyexec_writer *w, PyObject *v, const char *name);       /* new, or NULL: of the instance's own dict */
PyObject *pyexec_slot(const pyexec_known *known, int which, PyObject *v);      /* new, or NULL: by a caught descriptor */

/* number.c, path.c, time.c, ndarray.c, pandas.c: types of one kind, both ways. */
int pyexec_encode_decimal(pyexec_writer *w, PyObject *v);
int pyexec_encode_fraction(pyexec_writer *w, PyObject *v);
int pyexec_encode_complex(pyexec_writer *w, PyObject *v);
int pyexec_encode_uuid(pyexec_writer *w, PyObject *v);
PyObject *pyexec_decode_decimal(pyexec_reader *r); /* new, or NULL, as all below */
PyObject *pyexec_decode_fraction(pyexec_reader *r);
PyObject *pyexec_decode_complex(pyexec_reader *r);
PyObject *pyexec_decode_uuid(pyexec_reader *r);
int pyexec_encode_path(pyexec_writer *w, PyObject *v);
PyObject *pyexec_decode_path(pyexec_reader *r);
void pyexec_datetime_catch(pyexec_known *known);
int pyexec_encode_datetime(pyexec_writer *w, PyObject *v);
int pyexec_encode_date(pyexec_writer *w, PyObject *v);
int pyexec_encode_time(pyexec_writer *w, PyObject *v);
int pyexec_encode_delta(pyexec_writer *w, PyObject *v);
PyObject *pyexec_decode_datetime(pyexec_reader *r);
PyObject *pyexec_decode_date(pyexec_reader *r);
PyObject *pyexec_decode_time(pyexec_reader *r);
PyObject *pyexec_decode_delta(pyexec_reader *r);
int pyexec_encode_ndarray(pyexec_writer *w, PyObject *v);
int pyexec_encode_np_scalar(pyexec_writer *w, PyObject *v);
int pyexec_encode_buffer(pyexec_writer *w, PyObject *v);
PyObject *pyexec_decode_ndarray(pyexec_reader *r, uint64_t tag);
PyObject *pyexec_decode_memory(pyexec_reader *r);
int pyexec_encode_view(pyexec_writer *w, Py_buffer *view, PyObject *v);
int pyexec_encode_series(pyexec_writer *w, PyObject *v);
int pyexec_encode_frame(pyexec_writer *w, PyObject *v);
int pyexec_encode_index(pyexec_writer *w, PyObject *v);
int pyexec_encode_pd_array(pyexec_writer *w, PyObject *v);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { PYEXEC_HOST_LITTLE = 1 };
#else
enum { PYEXEC_HOST_LITTLE = 0 };
#endif

/* An item of a typed array. */
typedef struct {
    char code;     /* '?' bool, 'u' unsigned, 'i' signed, 'f' float, 'c' complex, 'O' object, 's' bytes, 'w' text; 0: none */
    size_t size;   /* of an item, in bytes */
    bool little;
} pyexec_item;

#endif /* PYEXEC_VALUES_H */
