/* opcodes.h: what byte code does, by version; a part of compat.h that only confine.c needs. */
#ifndef PYEXEC_OPCODES_H
#define PYEXEC_OPCODES_H

/* ---- byte code that can do nothing but compute (confine.c) ---- */
static inline bool
pyexec_opcode_computes(uint8_t op, uint8_t arg)
{
    switch (op) {
    case CACHE:
    case RESUME:
    case NOP:
    case POP_TOP:
    case COPY:
    case SWAP:
    case LOAD_CONST:
    case LOAD_NAME:
    case STORE_NAME:
    case RETURN_VALUE:
    case UNARY_NEGATIVE:
    case UNARY_NOT:
    case UNARY_INVERT:
    case COMPARE_OP:
    case CONTAINS_OP:
    case IS_OP:
    case BUILD_TUPLE:
    case BUILD_LIST:
    case BUILD_MAP:
    case JUMP_FORWARD:
#ifdef UNARY_POSITIVE
    case UNARY_POSITIVE:
#endif
#ifdef BINARY_SUBSCR
    case BINARY_SUBSCR:
#endif
#ifdef RETURN_CONST
    case RETURN_CONST:
#endif
#ifdef LOAD_SMALL_INT
    case LOAD_SMALL_INT:
#endif
#ifdef POP_JUMP_FORWARD_IF_FALSE
    case POP_JUMP_FORWARD_IF_FALSE:
    case POP_JUMP_FORWARD_IF_TRUE:
    case JUMP_IF_FALSE_OR_POP:
    case JUMP_IF_TRUE_OR_POP:
#else
    case POP_JUMP_IF_FALSE:
    case POP_JUMP_IF_TRUE:
#endif
#ifdef TO_BOOL
    case TO_BOOL:
#endif
#ifdef NOT_TAKEN
    case NOT_TAKEN:
#endif
        return true;
#if PY_VERSION_HEX >= 0x030F0000
    case LOAD_COMMON_CONSTANT:
        return arg >= 7 && arg <= 11; /* None, an empty str, True, False, -1 */
#endif
    case BINARY_OP: /* not in place: a += [a] changes a, and makes a cycle */
        return arg < NB_INPLACE_ADD || arg > NB_INPLACE_XOR;
    default:
        return false;
    }
}

/* Of these, the ones that make containers: two of them that hold each other's likes take for ever to compare. */
static inline bool
pyexec_opcode_builds(uint8_t op)
{
    return op == BUILD_TUPLE || op == BUILD_LIST || op == BUILD_MAP;
}

/* Calls, and what formats values: they compute, too, if what they call does. */
static inline bool
pyexec_opcode_calls(uint8_t op)
{
    switch (op) {
    case CALL:
    case PUSH_NULL:
    case BUILD_STRING:
    case BUILD_SET:
    case BUILD_SLICE:
    case LIST_EXTEND:
#ifdef PRECALL
    case PRECALL:
#endif
#ifdef KW_NAMES
    case KW_NAMES:
#endif
#ifdef CALL_KW
    case CALL_KW:
#endif
#ifdef BUILD_CONST_KEY_MAP
    case BUILD_CONST_KEY_MAP:
#endif
#ifdef BINARY_SLICE
    case BINARY_SLICE:
#endif
#ifdef FORMAT_VALUE
    case FORMAT_VALUE:
#endif
#ifdef FORMAT_SIMPLE
    case FORMAT_SIMPLE:
    case FORMAT_WITH_SPEC:
    case CONVERT_VALUE:
#endif
        return true;
    default:
        return false;
    }
}

/* ---- what an instruction does, for the proof in confine.c ----
 * Instructions that are not listed have no known meaning there, nor have the lazy imports of 3.15. Where an argument holds more than an index, how it is packed is looked up in
 * CPython's Python/bytecodes.c; in a version that nobody has looked at, nothing is known. */
typedef enum {
    PYEXEC_UNKNOWN,
    PYEXEC_PLAIN, /* works on the stack alone: at most a special method of an operand is called */
    PYEXEC_JUMP,  /* the same, and may go on elsewhere */
    PYEXEC_CONST,
    PYEXEC_LOAD_NAME, /* of a global, of a builtin or in a namespace */
    PYEXEC_STORE_NAME,
    PYEXEC_STORE_GLOBAL,
    PYEXEC_LOAD_LOCAL,
    PYEXEC_STORE_LOCAL,
    PYEXEC_LOAD_ATTR,
    PYEXEC_LOAD_METHOD, /* of which nothing can be done but call it */
    PYEXEC_STORE_ATTR,
    PYEXEC_LOAD_SUPER_ATTR,
    PYEXEC_LOAD_NAMESPACE, /* the dict itself */
    PYEXEC_IMPORT,
    PYEXEC_IMPORT_FROM,
    PYEXEC_CHECK_CAUGHT, /* compares an exception with the class on the stack, and drops that */
    PYEXEC_WITH
} pyexec_meaning;

typedef struct {
    pyexec_meaning meaning;
    int index;             /* of the name, the local or the constant */
    pyexec_meaning second; /* some instructions are two in one; PYEXEC_UNKNOWN: not this one */
    int second_index;
} pyexec_step;

#if PY_VERSION_HEX >= 0x030F0000
static inline bool
pyexec_imports_lazily(void) /* also what is not marked `lazy` */
{
    return PyImport_GetLazyImportsMode() != PyImport_LAZY_NORMAL;
}
#endif

/* From 3.13 on PUSH_NULL comes right after the function that is to be called, before only somewhere ahead of it. */
#define PYEXEC_NULL_FOLLOWS_CALLEE (PY_VERSION_HEX >= 0x030D0000)

static inline pyexec_step
pyexec_opcode_step(uint8_t op, int arg)
{
#define ONE(meaning, index) ((pyexec_step){meaning, index, PYEXEC_UNKNOWN, 0})
#define TWO(first, second) ((pyexec_step){first, arg >> 4, second, arg & 15})
    switch (op) {
#if PY_VERSION_HEX < 0x03100000
    case CACHE: case RESUME: case NOP: case POP_TOP: case PUSH_NULL: case COPY: case SWAP: case RETURN_VALUE:
    case RETURN_GENERATOR: case YIELD_VALUE: case GET_ITER: case GET_LEN:
    case UNARY_NEGATIVE: case UNARY_NOT: case UNARY_INVERT: case BINARY_OP: case COMPARE_OP: case CONTAINS_OP: case IS_OP:
    case STORE_SUBSCR: case DELETE_SUBSCR: case BUILD_TUPLE: case BUILD_LIST: case BUILD_MAP: case BUILD_SET:
    case BUILD_SLICE: case BUILD_STRING: case LIST_APPEND: case SET_ADD: case MAP_ADD: case LIST_EXTEND: case SET_UPDATE:
    case DICT_UPDATE: case DICT_MERGE: case UNPACK_SEQUENCE: case UNPACK_EX: case CALL: case CALL_FUNCTION_EX:
    case LOAD_BUILD_CLASS: case MAKE_FUNCTION: case MAKE_CELL: case COPY_FREE_VARS: case SETUP_ANNOTATIONS:
    case PUSH_EXC_INFO: case POP_EXCEPT: case RERAISE: case RAISE_VARARGS: case MATCH_MAPPING: case MATCH_SEQUENCE:
    case MATCH_KEYS:
#if PY_VERSION_HEX < 0x030C0000
    case PRECALL: case KW_NAMES: case UNARY_POSITIVE: case LIST_TO_TUPLE:
#else
    case END_FOR: case END_SEND: case CLEANUP_THROW: case BINARY_SLICE: case STORE_SLICE:
#endif
#ifdef GET_YIELD_FROM_ITER
    case GET_YIELD_FROM_ITER:
#endif
#ifdef BINARY_SUBSCR
    case BINARY_SUBSCR:
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    case KW_NAMES:
#endif
#ifdef RETURN_CONST
    case RETURN_CONST:
#endif
#ifdef BUILD_CONST_KEY_MAP
    case BUILD_CONST_KEY_MAP:
#endif
#ifdef FORMAT_VALUE
    case FORMAT_VALUE:
#endif
#ifdef LOAD_ASSERTION_ERROR
    case LOAD_ASSERTION_ERROR:
#endif
#ifdef FORMAT_SIMPLE
    case FORMAT_SIMPLE: case FORMAT_WITH_SPEC: case CONVERT_VALUE: case TO_BOOL: case CALL_KW: case SET_FUNCTION_ATTRIBUTE:
#endif
#ifdef LOAD_SMALL_INT
    case LOAD_SMALL_INT: case NOT_TAKEN: case POP_ITER:
#endif
        return ONE(PYEXEC_PLAIN, 0);
#ifdef CALL_INTRINSIC_1
    case CALL_INTRINSIC_1: /* StopIteration becomes a RuntimeError, +x, a list becomes a tuple */
        return ONE(arg == 3 || arg == 5 || arg == 6 ? PYEXEC_PLAIN : PYEXEC_UNKNOWN, 0);
#endif
#ifdef LOAD_COMMON_CONSTANT
    case LOAD_COMMON_CONSTANT: /* builtins that cannot be changed; 3.15 has 12 of them, from AssertionError to -1 */
        return ONE(arg <= 11 ? PYEXEC_PLAIN : PYEXEC_UNKNOWN, 0);
#endif
    case JUMP_FORWARD: case JUMP_BACKWARD: case JUMP_BACKWARD_NO_INTERRUPT: case FOR_ITER: case SEND:
#if PY_VERSION_HEX < 0x030C0000
    case JUMP_IF_FALSE_OR_POP: case JUMP_IF_TRUE_OR_POP: case POP_JUMP_FORWARD_IF_FALSE: case POP_JUMP_FORWARD_IF_TRUE:
    case POP_JUMP_FORWARD_IF_NONE: case POP_JUMP_FORWARD_IF_NOT_NONE: case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_TRUE: case POP_JUMP_BACKWARD_IF_NONE: case POP_JUMP_BACKWARD_IF_NOT_NONE:
#else
    case POP_JUMP_IF_FALSE: case POP_JUMP_IF_TRUE: case POP_JUMP_IF_NONE: case POP_JUMP_IF_NOT_NONE:
#endif
        return ONE(PYEXEC_JUMP, 0);
    case LOAD_CONST:
        return ONE(PYEXEC_CONST, arg);
    case LOAD_NAME:
        return ONE(PYEXEC_LOAD_NAME, arg);
    case LOAD_GLOBAL:
        return ONE(PYEXEC_LOAD_NAME, arg >> 1);
    case STORE_NAME: case DELETE_NAME:
        return ONE(PYEXEC_STORE_NAME, arg);
    case STORE_GLOBAL: case DELETE_GLOBAL:
        return ONE(PYEXEC_STORE_GLOBAL, arg);
    case LOAD_FAST: case LOAD_DEREF:
        return ONE(PYEXEC_LOAD_LOCAL, arg);
    case STORE_FAST: case DELETE_FAST: case STORE_DEREF: case DELETE_DEREF:
        return ONE(PYEXEC_STORE_LOCAL, arg);
    case STORE_ATTR: case DELETE_ATTR:
        return ONE(PYEXEC_STORE_ATTR, arg);
    case CHECK_EXC_MATCH:
        return ONE(PYEXEC_CHECK_CAUGHT, 0);
    case WITH_EXCEPT_START:
        return ONE(PYEXEC_WITH, 0);
#ifdef BEFORE_WITH
    case BEFORE_WITH:
        return ONE(PYEXEC_WITH, 0);
#endif
#ifdef LOAD_SPECIAL
    case LOAD_SPECIAL:
        return ONE(PYEXEC_WITH, 0);
#endif
    case IMPORT_NAME:
#if PY_VERSION_HEX < 0x030F0000
        return ONE(PYEXEC_IMPORT, arg);
#else
        return ONE((arg & 1) != 0 || pyexec_imports_lazily() ? PYEXEC_UNKNOWN : PYEXEC_IMPORT, arg >> 2);
#endif
    case IMPORT_FROM:
        return ONE(PYEXEC_IMPORT_FROM, arg);
#if PY_VERSION_HEX < 0x030C0000
    case LOAD_ATTR:
        return ONE(PYEXEC_LOAD_ATTR, arg);
    case LOAD_METHOD:
        return ONE(PYEXEC_LOAD_METHOD, arg);
    case LOAD_CLOSURE: /* the cell, for a function that is being made */
        return ONE(PYEXEC_PLAIN, 0);
    case LOAD_CLASSDEREF:
        return ONE(PYEXEC_LOAD_LOCAL, arg);
#else
    case LOAD_ATTR:
        return ONE((arg & 1) != 0 ? PYEXEC_LOAD_METHOD : PYEXEC_LOAD_ATTR, arg >> 1);
    case LOAD_SUPER_ATTR:
        return ONE(PYEXEC_LOAD_SUPER_ATTR, arg >> 2);
    case LOAD_LOCALS:
        return ONE(PYEXEC_LOAD_NAMESPACE, 0);
    case LOAD_FROM_DICT_OR_GLOBALS:
        return ONE(PYEXEC_LOAD_NAME, arg);
    case LOAD_FAST_CHECK: case LOAD_FAST_AND_CLEAR: case LOAD_FROM_DICT_OR_DEREF:
        return ONE(PYEXEC_LOAD_LOCAL, arg);
#if PY_VERSION_HEX < 0x030D0000
    case LOAD_CLOSURE:
        return ONE(PYEXEC_PLAIN, 0);
#endif
#endif
#ifdef LOAD_FAST_LOAD_FAST
    case LOAD_FAST_LOAD_FAST:
        return TWO(PYEXEC_LOAD_LOCAL, PYEXEC_LOAD_LOCAL);
    case STORE_FAST_LOAD_FAST:
        return TWO(PYEXEC_STORE_LOCAL, PYEXEC_LOAD_LOCAL);
    case STORE_FAST_STORE_FAST:
        return TWO(PYEXEC_STORE_LOCAL, PYEXEC_STORE_LOCAL);
#endif
#ifdef LOAD_FAST_BORROW
    case LOAD_FAST_BORROW:
        return ONE(PYEXEC_LOAD_LOCAL, arg);
    case LOAD_FAST_BORROW_LOAD_FAST_BORROW:
        return TWO(PYEXEC_LOAD_LOCAL, PYEXEC_LOAD_LOCAL);
#endif
#endif
    default:
        return ONE(PYEXEC_UNKNOWN, 0);
    }
#undef ONE
#undef TWO
}

#endif /* PYEXEC_OPCODES_H */
