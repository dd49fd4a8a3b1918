/* known.c: the types of modules whose instances have a Go form, and what it takes to read and make these without running
 * Python code. All of it is caught at the end of the import that loaded the module, when no snippet has touched it: so
 * whatever a snippet binds to Fraction.__str__ later is not what the encoder goes by. A module of a snippet's own under
 * one of these names is held to be what it says only as far as that cannot run its code: types with C functions must be
 * immutable and have the name that only the real ones have, attributes must be C descriptors. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

typedef enum {
    ANY,    /* only compared with */
    TYPE,   /* a type: only compared with, and instances are made by its tp_alloc */
    NATIVE, /* a type whose C functions are called: immutable, and of that name */
    SLOT,   /* a descriptor of an attribute that is in a C struct, or computed in C */
    METHOD  /* a method in C */
} kind;

static const struct {
    const char *module, *path, *name;
    kind kind;
} wanted[KNOWN_END] = {
    [KNOWN_DECIMAL] = {"decimal", "Decimal", "decimal.Decimal", NATIVE},
    [KNOWN_FRACTION] = {"fractions", "Fraction", NULL, TYPE},
    [KNOWN_FRACTION_NUMERATOR] = {"fractions", "Fraction._numerator", NULL, SLOT},
    [KNOWN_FRACTION_DENOMINATOR] = {"fractions", "Fraction._denominator", NULL, SLOT},
    [KNOWN_UUID] = {"uuid", "UUID", NULL, TYPE},
    [KNOWN_UUID_INT] = {"uuid", "UUID.int", NULL, SLOT},
    [KNOWN_UUID_SAFE] = {"uuid", "UUID.is_safe", NULL, SLOT},
    [KNOWN_UUID_UNKNOWN] = {"uuid", "SafeUUID.unknown", NULL, ANY},
    [KNOWN_PATH] = {"pathlib", "PosixPath", NULL, TYPE},
    [KNOWN_PATH_PURE] = {"pathlib", "PurePosixPath", NULL, TYPE},
    [KNOWN_PATH_STR] = {"pathlib", "PurePath._str", NULL, SLOT},
    [KNOWN_PATH_RAW] = {"pathlib", "PurePath._raw_paths", NULL, SLOT}, /* 3.12 and later */
    [KNOWN_PATH_DRIVE] = {"pathlib", "PurePath._drv", NULL, SLOT},
    [KNOWN_PATH_ROOT] = {"pathlib", "PurePath._root", NULL, SLOT},
    [KNOWN_PATH_PARTS] = {"pathlib", "PurePath._parts", NULL, SLOT}, /* 3.11 */
    [KNOWN_ENUM] = {"enum", "EnumMeta", NULL, TYPE},
    [KNOWN_FIELD] = {"dataclasses", "Field", NULL, TYPE},
    [KNOWN_FIELD_KIND] = {"dataclasses", "Field._field_type", NULL, SLOT},
    [KNOWN_FIELD_PLAIN] = {"dataclasses", "_FIELD", NULL, ANY},
    [KNOWN_DATETIME] = {"datetime", "datetime", "datetime.datetime", NATIVE},
    [KNOWN_DATE] = {"datetime", "date", "datetime.date", NATIVE},
    [KNOWN_TIME] = {"datetime", "time", "datetime.time", NATIVE},
    [KNOWN_DELTA] = {"datetime", "timedelta", "datetime.timedelta", NATIVE},
    [KNOWN_TIMEZONE] = {"datetime", "timezone", "datetime.timezone", NATIVE},
    [KNOWN_ZONEINFO] = {"zoneinfo", "ZoneInfo", "zoneinfo.ZoneInfo", NATIVE},
    [KNOWN_ARRAY] = {"array", "array", "array.array", NATIVE},
    [KNOWN_NDARRAY] = {"numpy", "ndarray", "numpy.ndarray", NATIVE},
    [KNOWN_NDARRAY_DTYPE] = {"numpy", "ndarray.dtype", NULL, SLOT},
    [KNOWN_NDARRAY_VIEW] = {"numpy", "ndarray.view", NULL, METHOD},
    [KNOWN_DTYPE_STR] = {"numpy", "dtype.str", NULL, SLOT},
    [KNOWN_NP_INT64] = {"numpy", "int64", "numpy.int64", NATIVE},
    [KNOWN_NP_GENERIC] = {"numpy", "generic", "numpy.generic", NATIVE},
    [KNOWN_NP_GENERIC_DTYPE] = {"numpy", "generic.dtype", NULL, SLOT},
    [KNOWN_NP_DATETIME] = {"numpy", "datetime64", "numpy.datetime64", NATIVE},
    [KNOWN_NP_DELTA] = {"numpy", "timedelta64", "numpy.timedelta64", NATIVE},
    [KNOWN_PD_SERIES] = {"pandas", "Series", NULL, TYPE},
    [KNOWN_PD_FRAME] = {"pandas", "DataFrame", NULL, TYPE},
    [KNOWN_PD_INDEX] = {"pandas", "Index", NULL, TYPE},
    [KNOWN_PD_RANGE_INDEX] = {"pandas", "RangeIndex", NULL, TYPE},
    [KNOWN_PD_MULTI_INDEX] = {"pandas", "MultiIndex", NULL, TYPE},
    [KNOWN_PD_NAT] = {"pandas", "NaT", NULL, ANY},
    [KNOWN_PD_NA] = {"pandas", "NA", NULL, ANY},
    [KNOWN_PD_TIMESTAMP] = {"pandas", "Timestamp", NULL, TYPE},
    [KNOWN_PD_TIMESTAMP_NANOSECOND] = {"pandas", "Timestamp.nanosecond", NULL, SLOT},
    [KNOWN_PD_TIMEDELTA] = {"pandas", "Timedelta", NULL, TYPE},
    [KNOWN_PD_BLOCKS] = {"pandas", "core.internals.managers.BlockManager.blocks", NULL, SLOT},
    [KNOWN_PD_AXES] = {"pandas", "core.internals.managers.BlockManager.axes", NULL, SLOT},
    [KNOWN_PD_BLOCK_LOCS] = {"pandas", "_libs.internals.Block._mgr_locs", NULL, SLOT},
    [KNOWN_PD_BLOCK_VALUES] = {"pandas", "_libs.internals.Block.values", NULL, SLOT},
    [KNOWN_PD_BLOCK_VALUES_1] = {"pandas", "_libs.internals.NumpyBlock.values", NULL, SLOT},         /* of pandas 1 */
    [KNOWN_PD_BLOCK_VALUES_2] = {"pandas", "_libs.internals.NDArrayBackedBlock.values", NULL, SLOT}, /* of pandas 1 */
    [KNOWN_PD_LOCS_ARRAY] = {"pandas", "_libs.internals.BlockPlacement.as_array", NULL, SLOT},
    [KNOWN_PD_BACKED] = {"pandas", "_libs.arrays.NDArrayBacked._ndarray", NULL, SLOT},
    [KNOWN_PD_BACKED_DTYPE] = {"pandas", "_libs.arrays.NDArrayBacked._dtype", NULL, SLOT},
    [KNOWN_PD_CATEGORICAL] = {"pandas", "Categorical", NULL, TYPE},
    [KNOWN_PD_DATETIMES] = {"pandas", "arrays.DatetimeArray", NULL, TYPE},
    [KNOWN_PD_TIMEDELTAS] = {"pandas", "arrays.TimedeltaArray", NULL, TYPE},
    [KNOWN_PD_MASKED] = {"pandas", "core.arrays.masked.BaseMaskedArray", NULL, TYPE},
    [KNOWN_PD_STRINGS] = {"pandas", "arrays.StringArray", NULL, TYPE},
};

static bool
is_native(PyObject *v, const char *name)
{
    if (!PyType_Check(v) || strcmp(((PyTypeObject *)v)->tp_name, name) != 0) {
        return false;
    }
    unsigned long flags = ((PyTypeObject *)v)->tp_flags;
    return (flags & Py_TPFLAGS_HEAPTYPE) == 0 || (flags & Py_TPFLAGS_IMMUTABLETYPE) != 0;
}

static bool
is_kind(PyObject *v, int which)
{
    switch (wanted[which].kind) {
    case TYPE:
        return PyType_Check(v);
    case NATIVE:
        return is_native(v, wanted[which].name);
    case SLOT:
        return Py_IS_TYPE(v, &PyMemberDescr_Type) || Py_IS_TYPE(v, &PyGetSetDescr_Type);
    case METHOD:
        return Py_IS_TYPE(v, &PyMethodDescr_Type);
    default:
        return true;
    }
}

static PyObject * /* new, or NULL */
attribute(PyObject *module, const char *path)
{
    PyObject *v = Py_NewRef(module);
    while (v != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");
        PyObject *name = PyUnicode_FromStringAndSize(path, (Py_ssize_t)n);       /* new */
        PyObject *next = name == NULL ? NULL : PyObject_GetAttr(v, name); /* new */
        Py_XDECREF(name);
        Py_SETREF(v, next);
        path += n + (path[n] == '.');
    }
    PyErr_Clear();
    return v;
}

/* All that is wanted of a module that is loaded. */
static void
catch(pyexec_known *known, PyObject *name)
{
    PyObject *module = PyDict_GetItemWithError(PyImport_GetModuleDict(), name); /* borrowed */
    for (int i = 0; i < KNOWN_END; i++) {
        if (PyUnicode_CompareWithASCIIString(name, wanted[i].module) != 0) {
            continue;
        }
        PyObject *v = module == NULL ? NULL : attribute(module, wanted[i].path); /* new */
        if (v != NULL && !is_kind(v, i)) {
            Py_CLEAR(v);
        }
        Py_XSETREF(known->at[i], v); /* stolen */
        known->stale = true;
    }
    if (known->at[KNOWN_DATETIME] != NULL && known->datetime == NULL) {
        pyexec_datetime_catch(known);
    }
    PyErr_Clear();
}

void
pyexec_known_imported(pyexec_kernel *k, PyObject *name)
{
    if (PyUnicode_CheckExact(name)) {
        catch(&k->known, name);
    }
}

/* What is loaded from the start; and again when all has been put back, since the module that was imported last may not
 * be the one that stays. */
void
pyexec_known_renew(pyexec_kernel *k)
{
    for (int i = 0; i < KNOWN_END; i++) {
        if (i == 0 || strcmp(wanted[i].module, wanted[i - 1].module) != 0) {
            PyObject *name = PyUnicode_FromString(wanted[i].module); /* new */
            if (name != NULL) {
                catch(&k->known, name);
                Py_DECREF(name);
            }
        }
    }
    PyErr_Clear();
    k->known.stale = false;
}

void
pyexec_known_clear(pyexec_kernel *k)
{
    for (int i = 0; i < KNOWN_END; i++) {
        Py_CLEAR(k->known.at[i]);
    }
    k->known.datetime = NULL;
}

PyObject *
pyexec_known_need(pyexec_reader *r, int which)
{
    pyexec_kernel *k = r->k;
    if (k == NULL) {
        return pyexec_decode_fail(r, "it needs a module, and may not import one");
    }
    if (k->known.at[which] == NULL) {
        PyObject *name = PyUnicode_FromString(wanted[which].module); /* new */
        PyObject *module = name == NULL ? NULL : PyImport_ImportModuleLevelObject(name, NULL, NULL, NULL, 0); /* new */
        PyErr_Clear();
        Py_XDECREF(module);
        Py_XDECREF(name);
    }
    if (k->known.at[which] == NULL) {
        PyOS_snprintf(k->need, sizeof k->need, "it needs the Python module %s, which cannot be imported or is another",
                      wanted[which].module);
        return pyexec_decode_fail(r, k->need);
    }
    return k->known.at[which];
}
