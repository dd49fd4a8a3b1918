/* time.c: datetime, date, time and timedelta, both ways, through the C API of the module. */
#include "compat.h"

#include "kernel.h"

#include <datetime.h>
#include <string.h>

void
pyexec_datetime_catch(pyexec_known *known)
{
    PyDateTime_IMPORT;
    known->datetime = PyDateTimeAPI;
    PyErr_Clear();
}

/* ---- zones: [offset in seconds or null, name or null, is the name a key of zoneinfo?] ---- */

enum { DAY = 24 * 60 * 60 };

static int
put_zone(pyexec_writer *w, PyObject *delta /* None: none */, PyObject *name /* may be NULL */, bool key)
{
    Py_ssize_t n = 0;
    const char *s = NULL;
    pyexec_cbor_head(w->out, CBOR_ARRAY, 3);
    if (delta == Py_None) {
        pyexec_buf_byte(w->out, CBOR_NULL);
    }
    else if (!PyDelta_Check(delta) || PyDateTime_DELTA_GET_MICROSECONDS(delta) != 0) {
        return pyexec_encode_fail(w, "its offset from UTC has parts of a second, which Go's zones cannot keep", delta);
    }
    else {
        pyexec_cbor_int(w->out,
                        (int64_t)PyDateTime_DELTA_GET_DAYS(delta) * DAY + PyDateTime_DELTA_GET_SECONDS(delta));
    }
    if (name != NULL && PyUnicode_Check(name)) {
        s = PyUnicode_AsUTF8AndSize(name, &n);
        if (s == NULL || !pyexec_encode_fits(w, (size_t)n, name)) {
            return pyexec_encode_fail(w, "the name of its time zone is too long, or not UTF-8", name);
        }
        pyexec_cbor_textn(w->out, s, (size_t)n);
    }
    else {
        pyexec_buf_byte(w->out, CBOR_NULL);
    }
    pyexec_buf_byte(w->out, key ? CBOR_TRUE : CBOR_FALSE);
    return 0;
}

/* Both classes are immutable and in C: calling their methods on an instance of the very class runs no Python code.
 * Any other zone's offset could only be had by running what its class says. */
static int
encode_zone(pyexec_writer *w, PyObject *zone, PyObject *datetime /* exact, or None */)
{
    const pyexec_known *known = &w->k->known;
    int result = -1;
    PyObject *args = NULL, *delta = NULL, *key = NULL;
    if (Py_IS_TYPE(zone, (PyTypeObject *)known->at[KNOWN_TIMEZONE])) {
        args = PyObject_CallMethod(zone, "__getinitargs__", NULL); /* new: (offset,) or (offset, name) */
        if (args != NULL && PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0) {
            result = put_zone(w, PyTuple_GET_ITEM(args, 0),
                              PyTuple_GET_SIZE(args) > 1 ? PyTuple_GET_ITEM(args, 1) : NULL, false);
        }
    }
    else if (Py_IS_TYPE(zone, (PyTypeObject *)known->at[KNOWN_ZONEINFO])) {
        key = PyObject_GetAttrString(zone, "key"); /* new */
        if (key == NULL || !PyUnicode_Check(key)) {
            pyexec_encode_fail(w, "its time zone has no name", zone);
            goto done;
        }
        delta = PyObject_CallMethod(zone, "utcoffset", "O", datetime); /* new */
        result = delta == NULL ? -1 : put_zone(w, delta, key, true);
    }
    else {
        pyexec_encode_fail(w, "its time zone is neither of datetime.timezone nor of zoneinfo.ZoneInfo", zone);
        goto done;
    }
    if (result < 0 && w->reason == NULL) {
        pyexec_encode_fail(w, "its time zone could not be read", zone);
    }

done:
    Py_XDECREF(args);
    Py_XDECREF(key);
    Py_XDECREF(delta);
    PyErr_Clear();
    return result;
}

static int
decode_zone(pyexec_reader *r, PyObject **zone /* new; left alone: none */, int64_t *offset, bool *key)
{
    uint64_t n = 0;
    const uint8_t *name = NULL;
    size_t len = 0;
    bool has_offset = false;
    *key = false;
    if (pyexec_decode_null(r)) {
        return 0;
    }
    if (!pyexec_decode_array(r, &n)) {
        return -1;
    }
    has_offset = n == 3 && !pyexec_decode_null(r);
    if (n != 3 || (has_offset && !pyexec_decode_int(r, offset)) ||
        (!pyexec_decode_null(r) && !pyexec_decode_bytes(r, CBOR_TEXT, &name, &len)) || r->p >= r->end) {
        pyexec_decode_fail(r, "a time zone is malformed");
        return -1;
    }
    *key = *r->p++ == CBOR_TRUE;
    if (*key) {
        PyObject *type = pyexec_known_need(r, KNOWN_ZONEINFO); /* borrowed */
        *zone = type == NULL ? NULL : PyObject_CallFunction(type, "s#", (const char *)name, (Py_ssize_t)len); /* new */
        if (type != NULL && *zone == NULL) {
            pyexec_decode_fail(r, "Python's zoneinfo does not know its time zone: the operating system's tzdata, or the "
                                  "Python package tzdata, must be installed");
        }
    }
    else if (!has_offset || *offset <= -DAY || *offset >= DAY) {
        pyexec_decode_fail(r, "its offset from UTC is a day or more");
    }
    else if (*offset == 0 && name == NULL) {
        *zone = Py_NewRef(PyDateTimeAPI->TimeZone_UTC);
    }
    else {
        PyObject *delta = PyDelta_FromDSU(0, (int)*offset, 0); /* new */
        PyObject *text = name == NULL ? NULL : PyUnicode_DecodeUTF8((const char *)name, (Py_ssize_t)len, NULL); /* new */
        if (delta != NULL && (text != NULL || name == NULL)) {
            *zone = PyDateTimeAPI->TimeZone_FromTimeZone(delta, text); /* new */
        }
        Py_XDECREF(text);
        Py_XDECREF(delta);
    }
    PyErr_Clear();
    if (*zone == NULL) {
        pyexec_decode_fail(r, "a time zone is malformed");
        return -1;
    }
    return 0;
}

/* ---- Python to CBOR ---- */

static void
put_ints(pyexec_writer *w, size_t n, const int *values)
{
    for (size_t i = 0; i < n; i++) {
        pyexec_cbor_int(w->out, values[i]);
    }
}

/* What pandas' Timestamp has beyond a datetime, or -1. */
static int
nanoseconds(pyexec_writer *w, PyObject *v)
{
    int result = 0;
    if (pyexec_is(&w->k->known, KNOWN_PD_TIMESTAMP, Py_TYPE(v))) {
        PyObject *n = pyexec_slot(&w->k->known, KNOWN_PD_TIMESTAMP_NANOSECOND, v); /* new */
        result = n != NULL && PyLong_CheckExact(n) ? (int)PyLong_AsLong(n) : -1;
        Py_XDECREF(n);
        PyErr_Clear();
    }
    return result < 0 || result > 999 ? -1 : result;
}

int
pyexec_encode_datetime(pyexec_writer *w, PyObject *v)
{
    int ns = nanoseconds(w, v), result = 0;
    if (ns < 0) {
        return pyexec_encode_fail(w, "its nanoseconds could not be read", v);
    }
    const int parts[] = {PyDateTime_GET_YEAR(v),
                         PyDateTime_GET_MONTH(v),
                         PyDateTime_GET_DAY(v),
                         PyDateTime_DATE_GET_HOUR(v),
                         PyDateTime_DATE_GET_MINUTE(v),
                         PyDateTime_DATE_GET_SECOND(v),
                         PyDateTime_DATE_GET_MICROSECOND(v) * 1000 + ns,
                         PyDateTime_DATE_GET_FOLD(v)};
    PyObject *zone = PyDateTime_DATE_GET_TZINFO(v); /* borrowed */
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_DATETIME);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 9);
    put_ints(w, 8, parts);
    if (zone == Py_None) {
        pyexec_buf_byte(w->out, CBOR_NULL);
        return 0;
    }
    /* ZoneInfo would ask a subclass's methods. */
    PyObject *exact = PyDateTimeAPI->DateTime_FromDateAndTimeAndFold(parts[0], parts[1], parts[2], parts[3], parts[4],
                                                                      parts[5], PyDateTime_DATE_GET_MICROSECOND(v), zone,
                                                                      parts[7], PyDateTimeAPI->DateTimeType); /* new */
    result = exact == NULL ? pyexec_encode_fail(w, "out of memory", v) : encode_zone(w, zone, exact);
    Py_XDECREF(exact);
    return result;
}

int
pyexec_encode_date(pyexec_writer *w, PyObject *v)
{
    char text[32];
    int n = PyOS_snprintf(text, sizeof text, "%04d-%02d-%02d", PyDateTime_GET_YEAR(v), PyDateTime_GET_MONTH(v),
                          PyDateTime_GET_DAY(v));
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_DATE);
    pyexec_cbor_textn(w->out, text, (size_t)n);
    return 0;
}

int
pyexec_encode_time(pyexec_writer *w, PyObject *v)
{
    const int parts[] = {PyDateTime_TIME_GET_HOUR(v), PyDateTime_TIME_GET_MINUTE(v), PyDateTime_TIME_GET_SECOND(v),
                         PyDateTime_TIME_GET_MICROSECOND(v) * 1000, PyDateTime_TIME_GET_FOLD(v)};
    PyObject *zone = PyDateTime_TIME_GET_TZINFO(v); /* borrowed */
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_TIME);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 6);
    put_ints(w, 5, parts);
    if (zone == Py_None) {
        pyexec_buf_byte(w->out, CBOR_NULL);
        return 0;
    }
    return encode_zone(w, zone, Py_None);
}

int
pyexec_encode_delta(pyexec_writer *w, PyObject *v)
{
    const int parts[] = {PyDateTime_DELTA_GET_DAYS(v), PyDateTime_DELTA_GET_SECONDS(v),
                         PyDateTime_DELTA_GET_MICROSECONDS(v)};
    if (pyexec_is(&w->k->known, KNOWN_PD_TIMEDELTA, Py_TYPE(v))) {
        return pyexec_encode_fail(w, "a pandas Timedelta may have nanoseconds: take its to_pytimedelta() or value", v);
    }
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_DELTA);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 3);
    put_ints(w, 3, parts);
    return 0;
}

/* ---- CBOR to Python ---- */

static bool
get_ints(pyexec_reader *r, int n, int64_t *values)
{
    for (int i = 0; i < n; i++) {
        if (!pyexec_decode_int(r, &values[i])) {
            return false;
        }
        if (values[i] < INT32_MIN || values[i] > INT32_MAX) {
            pyexec_decode_fail(r, "a date or time is out of Python's range");
            return false;
        }
    }
    return true;
}

static PyObject *
checked(pyexec_reader *r, PyObject *v)
{
    if (v == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return pyexec_decode_fail(r, "a date or time is out of Python's range: years 1 to 9999");
    }
    return v;
}

static bool
begin(pyexec_reader *r, uint64_t items)
{
    uint64_t n = 0;
    if (pyexec_known_need(r, KNOWN_DATETIME) == NULL || !pyexec_decode_array(r, &n)) {
        return false;
    }
    if (r->k->known.datetime == NULL || n != items) {
        pyexec_decode_fail(r, "a date or time is malformed");
        return false;
    }
    PyDateTimeAPI = r->k->known.datetime;
    return true;
}

static const char TOO_FINE[] = "it has parts of a microsecond, which Python's datetime cannot keep: truncate it, as in "
                               "t.Truncate(time.Microsecond)";

static PyObject *
datetime_with(const int64_t *p, int64_t fold, PyObject *zone)
{
    return PyDateTimeAPI->DateTime_FromDateAndTimeAndFold((int)p[0], (int)p[1], (int)p[2], (int)p[3], (int)p[4],
                                                          (int)p[5], (int)(p[6] / 1000), zone, (int)fold,
                                                          PyDateTimeAPI->DateTimeType);
}

static bool
has_offset(PyObject *v, PyObject *zone, int64_t offset)
{
    PyObject *delta = PyObject_CallMethod(zone, "utcoffset", "O", v); /* new */
    bool same = delta != NULL && PyDelta_Check(delta) &&
                (int64_t)PyDateTime_DELTA_GET_DAYS(delta) * DAY + PyDateTime_DELTA_GET_SECONDS(delta) == offset;
    Py_XDECREF(delta);
    PyErr_Clear();
    return same;
}

PyObject *
pyexec_decode_datetime(pyexec_reader *r)
{
    int64_t p[8], offset = 0;
    bool key = false;
    PyObject *zone = NULL;
    if (!begin(r, 9) || !get_ints(r, 8, p) || decode_zone(r, &zone, &offset, &key) < 0) {
        return NULL;
    }
    PyObject *v = NULL;
    if (p[6] % 1000 != 0) {
        pyexec_decode_fail(r, TOO_FINE);
    }
    else {
        v = checked(r, datetime_with(p, p[7], zone == NULL ? Py_None : zone)); /* new */
    }
    if (v != NULL && key && !has_offset(v, zone, offset)) { /* the host does not know of folds */
        Py_SETREF(v, datetime_with(p, 1, zone));
        if (v == NULL || !has_offset(v, zone, offset)) {
            Py_CLEAR(v);
            PyErr_Clear();
            pyexec_decode_fail(r, "Go and Python disagree about its time zone's offset from UTC at that time");
        }
    }
    Py_XDECREF(zone);
    return v;
}

PyObject *
pyexec_decode_date(pyexec_reader *r)
{
    const uint8_t *s = NULL;
    size_t n = 0;
    char text[32] = {0};
    int year = 0, month = 0, day = 0, end = 0;
    if (pyexec_known_need(r, KNOWN_DATE) == NULL || !pyexec_decode_bytes(r, CBOR_TEXT, &s, &n)) {
        return NULL;
    }
    if (r->k->known.datetime == NULL || n >= sizeof text) {
        return pyexec_decode_fail(r, "a date is malformed");
    }
    PyDateTimeAPI = r->k->known.datetime;
    memcpy(text, s, n);
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || (size_t)end != n) {
        return pyexec_decode_fail(r, "a date is malformed, or out of Python's range: years 1 to 9999");
    }
    return checked(r, PyDate_FromDate(year, month, day));
}

PyObject *
pyexec_decode_time(pyexec_reader *r)
{
    int64_t p[5], offset = 0;
    bool key = false;
    PyObject *zone = NULL, *v = NULL;
    if (!begin(r, 6) || !get_ints(r, 5, p) || decode_zone(r, &zone, &offset, &key) < 0) {
        return NULL;
    }
    if (p[3] % 1000 != 0) {
        pyexec_decode_fail(r, TOO_FINE);
    }
    else {
        v = checked(r, PyDateTimeAPI->Time_FromTimeAndFold((int)p[0], (int)p[1], (int)p[2], (int)(p[3] / 1000),
                                                           zone == NULL ? Py_None : zone, (int)p[4],
                                                           PyDateTimeAPI->TimeType));
    }
    Py_XDECREF(zone);
    return v;
}

PyObject *
pyexec_decode_delta(pyexec_reader *r)
{
    int64_t p[3];
    if (!begin(r, 3) || !get_ints(r, 3, p)) {
        return NULL;
    }
    return checked(r, PyDelta_FromDSU((int)p[0], (int)p[1], (int)p[2]));
}
