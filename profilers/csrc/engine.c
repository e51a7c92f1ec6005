/* What stands before torch's engine: a backward that comes to a settled call by its usual way goes straight on. */

#include "hot.h"

/* ------------------------------------------------------------ the way through the graph */

/* Whether nodes, each in a pair with a number, are of these types. */
static int are_of(PyObject *following, PyObject *types)
{
    if (!PyTuple_Check(following) || !PyTuple_Check(types) || PyTuple_Size(following) != PyTuple_Size(types))
        return 0;
    for (Py_ssize_t place = 0; place < PyTuple_Size(types); place++) {
        PyObject *pair = PyTuple_GetItem(following, place);
        if (!PyTuple_Check(pair) || PyTuple_Size(pair) < 1)
            return 0;
        if ((PyObject *)Py_TYPE(PyTuple_GetItem(pair, 0)) != PyTuple_GetItem(types, place))
            return 0;
    }
    return 1;
}

/* The node at a place of those that lead to another, if all are of these types: a new reference, or NULL. */
static PyObject *behind(State *names, PyObject *node, PyObject *place_of, PyObject *types)
{
    PyObject *found = NULL;
    Py_ssize_t place = PyLong_AsSsize_t(place_of);
    PyObject *following = PyObject_GetAttr(node, names->next_functions);
    if (following != NULL && are_of(following, types) && place >= 0 && place < PyTuple_Size(following))
        found = Py_NewRef(PyTuple_GetItem(PyTuple_GetItem(following, place), 0));
    Py_XDECREF(following);
    return found;
}

/* The node to which a way leads: a new reference, or NULL. */
static PyObject *followed(State *names, PyObject *from, PyObject *way)
{
    if (!PyTuple_Check(way))
        return NULL;
    PyObject *node = Py_NewRef(from), *place, *types;
    for (Py_ssize_t at = 0; node != NULL && at < PyTuple_Size(way); at++) {
        PyObject *next = NULL, *step = PyTuple_GetItem(way, at);
        if (PyTuple_Check(step) && PyArg_ParseTuple(step, "OO", &place, &types))
            next = behind(names, node, place, types);
        Py_DECREF(node);
        node = next;
    }
    return node;
}

/* Whether the same leads to a node beside the way as did: rows of a place, types, and what leads there. */
static int is_beside(State *names, PyObject *node, PyObject *rows)
{
    PyObject *place_of, *types, *below;
    if (!PyTuple_Check(rows))
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_Size(rows); at++) {
        PyObject *row = PyTuple_GetItem(rows, at);
        if (!PyTuple_Check(row) || !PyArg_ParseTuple(row, "OOO", &place_of, &types, &below))
            return 0;
        Py_ssize_t place = PyLong_AsSsize_t(place_of);
        PyObject *following = PyObject_GetAttr(node, names->next_functions);
        if (following == NULL)
            return 0;
        int same = 0;
        if (PyTuple_Check(following) && place >= 0 && place < PyTuple_Size(following)) {
            PyObject *pair = PyTuple_GetItem(following, place);
            PyObject *other = PyTuple_Check(pair) && PyTuple_Size(pair) ? PyTuple_GetItem(pair, 0) : NULL;
            PyObject *behind_it = other ? PyObject_GetAttr(other, names->next_functions) : NULL;
            same = behind_it != NULL && are_of(behind_it, types) && is_beside(names, other, below);
            Py_XDECREF(behind_it);
        }
        Py_DECREF(following);
        if (!same)
            return 0;
    }
    return 1;
}

/* ------------------------------------------------------------ whether a pass is a usual one */

static int number(PyObject *of, long long *into)
{
    if (of == NULL || !PyLong_Check(of))
        return 0;
    *into = PyLong_AsLongLong(of);
    return *into != -1 || !PyErr_Occurred();
}

/* Have a lane know by heart which way leads on from a graph that ends like this. */
static int looked_up(Lane *lane, PyObject *type, long long added, long long between)
{
    if (lane->type == type && lane->added == added && lane->between == between)
        return 1;
    PyObject *end = Py_BuildValue("(LLO)", added, between, type);
    PyObject *way = end ? PyDict_GetItemWithError(lane->ways, end) : NULL;
    PyObject *aside = way ? PyDict_GetItemWithError(lane->beside, end) : NULL;
    Py_XDECREF(end);
    if (way == NULL || PyErr_Occurred())
        return 0;
    PyObject *before[] = {lane->type, lane->way, lane->aside};
    lane->type = Py_NewRef(type);
    lane->way = Py_NewRef(way);
    lane->aside = aside ? Py_NewRef(aside) : NULL;
    lane->added = added;
    lane->between = between;
    for (int place = 0; place < 3; place++)
        Py_XDECREF(before[place]);
    return 1;
}

/* Whether the way from a node leads to the call that ended at this number. */
static int leads(State *names, Lane *lane, PyObject *node, long long ended)
{
    PyObject *found = followed(names, node, lane->way);
    if (found == NULL)
        return 0;
    PyObject *made = PyObject_CallMethodObjArgs(found, names->sequence_nr, NULL);
    long long at;
    int arrives = number(made, &at) && at == ended - lane->back;
    Py_XDECREF(made);
    Py_DECREF(found);
    return arrives && (lane->aside == NULL || is_beside(names, node, lane->aside));
}

/* The pass reaches the call: note where its gradient is going to arrive. */
static int arrives(Pulse *self, Lane *lane, PyObject *call, long long next)
{
    PyObject *now = PyObject_CallNoArgs(self->clock), *nothing = PyLong_FromLong(0), *facts = NULL;
    PyObject *fired = PyTuple_GetItem(call, 1);
    long long at;
    if (number(now, &at) && nothing != NULL && PyList_Check(fired)) /* the time is the engine's number, too */
        facts = PyTuple_Pack(5, now, nothing, now, lane->arrived, nothing);
    Py_XDECREF(now);
    Py_XDECREF(nothing);
    if (facts == NULL)
        return 0;
    Py_ssize_t size = PyList_Size(fired);
    int noted = PyList_SetSlice(fired, size, size, facts) == 0;
    Py_DECREF(facts);
    if (!noted || PyList_SetSlice(self->waiting, 0, PyList_Size(self->waiting), NULL) < 0
        || PyList_Append(self->known, call) < 0)
        return 0;
    self->end = next;
    self->between = 0;
    self->began = at;
    return 1;
}

static int is_usual(State *state, Pulse *self, PyObject *output, PyObject *one)
{
    PyObject *span, *call, *serial, *fired, *held;
    long long ended, next;
    if (!PyTuple_Check(one) || !PyArg_ParseTuple(one, "OOOOO", &span, &call, &serial, &fired, &held))
        return 0;
    if (Py_TYPE(held) != state->lane || !PyTuple_Check(call) || PyTuple_Size(call) != 4
        || !PyTuple_Check(span) || PyTuple_Size(span) != 3 || !number(PyTuple_GetItem(span, 1), &ended))
        return 0;
    PyObject *counted = PyObject_CallNoArgs(self->sequence);
    int usual = number(counted, &next);
    Py_XDECREF(counted);
    PyObject *node = usual ? PyObject_GetAttr(output, state->grad_fn) : NULL;
    if (node == NULL)
        return 0;
    Lane *lane = (Lane *)held;
    usual = looked_up(lane, (PyObject *)Py_TYPE(node), next - ended, self->between)
        && leads(state, lane, node, ended) && arrives(self, lane, call, next);
    Py_DECREF(node);
    return usual;
}

/* Whether a pass is going to reach the one call that waits; if so, that is noted. */
static int reached(State *state, Pulse *self, PyObject *given)
{
    if (PyList_Size(self->waiting) != 1 || PyTuple_Size(given) < 5 || !is_off(self->looking))
        return 0;
    /* Whether the graph is kept, is recorded for differentiation, and for whose gradients it was asked. */
    for (Py_ssize_t place = 2; place < 5; place++)
        if (PyObject_Not(PyTuple_GetItem(given, place)) != 1)
            return 0;
    PyObject *outputs = PyTuple_GetItem(given, 0);
    if (!PyTuple_Check(outputs) || PyTuple_Size(outputs) != 1)
        return 0;
    PyObject *one = Py_NewRef(PyList_GetItem(self->waiting, 0));
    int usual = is_usual(state, self, PyTuple_GetItem(outputs, 0), one);
    Py_DECREF(one);
    return usual;
}

/* ------------------------------------------------------------ the engine's place */

typedef struct {
    PyObject_HEAD
    State *state; /* the module's, which the type holds */
    Pulse *pulse;
    PyObject *original, *unusual, *raised;
} Engine;

static PyObject *engine_call(Engine *self, PyObject *args, PyObject *kwargs)
{
    if (PyList_Size(self->pulse->waiting) == 0)
        return PyObject_Call(self->unusual, args, kwargs);
    int usual = reached(self->state, self->pulse, args);
    PyErr_Clear(); /* whatever it is, it is no usual pass */
    if (!usual)
        return PyObject_Call(self->unusual, args, kwargs);
    PyObject *found = PyObject_Call(self->original, args, kwargs);
    if (found != NULL)
        return found;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *began = PyLong_FromLongLong(self->pulse->began);
    PyObject *told = began ? PyObject_CallFunctionObjArgs(self->raised, began, NULL) : NULL;
    Py_XDECREF(began);
    Py_XDECREF(told);
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
    return NULL;
}

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = {"pulse", "original", "unusual", "raised", NULL};
    PyObject *pulse, *original, *unusual, *raised;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO", known, &pulse, &original, &unusual, &raised))
        return NULL;
    State *state = PyType_GetModuleState(type);
    if (state == NULL || !is_pulse(state, pulse))
        return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Engine *self = (Engine *)make(type, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    self->pulse = (Pulse *)Py_NewRef(pulse);
    self->original = Py_NewRef(original);
    self->unusual = Py_NewRef(unusual);
    self->raised = Py_NewRef(raised);
    return (PyObject *)self;
}

static int engine_traverse(Engine *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    Py_VISIT((PyObject *)self->pulse);
    Py_VISIT(self->original);
    Py_VISIT(self->unusual);
    Py_VISIT(self->raised);
    return 0;
}

/* No clear: whoever holds it lets it go, and it is never seen half empty. */
static void engine_free(Engine *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF((PyObject *)self->pulse);
    Py_XDECREF(self->original);
    Py_XDECREF(self->unusual);
    Py_XDECREF(self->raised);
    given_back((PyObject *)self);
}

static PyType_Slot slots[] = {
    {Py_tp_new, engine_new},
    {Py_tp_call, engine_call},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_dealloc, engine_free},
    {0, NULL},
};

PyType_Spec engine_spec = {
    .name = "profilers._hot.Engine",
    .basicsize = sizeof(Engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
