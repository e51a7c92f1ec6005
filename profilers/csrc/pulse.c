/* What a recording knows from one moment to the next, and the usual end of a step. */

#include "hot.h"

void given_back(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

int is_pulse(State *state, PyObject *object)
{
    if (PyObject_TypeCheck(object, state->pulse) && ((Pulse *)object)->log != NULL)
        return 1;
    PyErr_SetString(PyExc_TypeError, "a pulse is wanted");
    return 0;
}

int is_off(PyObject *list)
{
    return PyList_GetItem(list, 0) == Py_False;
}

/* ------------------------------------------------------------ an optimizer's step */

/* Whether all that happened since the last step are calls whose backward came as it always does. */
static int all_known(Pulse *self)
{
    Py_ssize_t number = PyList_Size(self->known), looked = (Py_ssize_t)self->looked;
    if (looked < 0 || PyList_Size(self->log) - looked != number)
        return 0;
    for (Py_ssize_t place = 0; place < number; place++)
        if (PyList_GetItem(self->log, looked + place) != PyList_GetItem(self->known, place))
            return 0;
    return 1;
}

static int is_plain(Pulse *self, PyObject *optimizer)
{
    if (self->fresh || self->wary || self->boundary || PyList_Size(self->waiting) || !is_off(self->looking)
        || !all_known(self))
        return 0;
    if (!PyTuple_Check(self->last) || PyTuple_Size(self->last) != 2)
        return 0;
    PyObject *before = PyObject_CallNoArgs(PyTuple_GetItem(self->last, 0));
    Py_XDECREF(before); /* the caller holds it */
    return before == optimizer;
}

static int noted(Pulse *self)
{
    PyObject *now = PyObject_CallNoArgs(self->clock), *event = NULL;
    long long at = now == NULL ? -1 : PyLong_AsLongLong(now);
    if (now != NULL && !PyErr_Occurred() && at <= self->due)
        event = PyTuple_Pack(2, PyTuple_GetItem(self->last, 1), now);
    Py_XDECREF(now);
    if (event == NULL)
        return 0;
    int failed = PyList_Append(self->log, event) < 0;
    Py_DECREF(event);
    if (failed || PyList_SetSlice(self->known, 0, PyList_Size(self->known), NULL) < 0)
        return 0;
    self->looked = PyList_Size(self->log);
    self->boundary = 1;
    self->derived = 0;
    return 1;
}

static PyObject *pulse_stepped(Pulse *self, PyObject *optimizer)
{
    if (self->log == NULL) {
        PyErr_SetString(PyExc_TypeError, "it was not made yet");
        return NULL;
    }
    if (!self->watching || !self->automatic)
        Py_RETURN_TRUE; /* nothing is to be noted */
    int done = is_plain(self, optimizer) && noted(self);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        done = 0;
    }
    return PyBool_FromLong(done);
}

/* ------------------------------------------------------------ making and freeing */

static int pulse_init(Pulse *self, PyObject *args, PyObject *kwargs)
{
    static char *known[] = {"looking", "keep", "sequence", "clock", "thread", NULL};
    PyObject *looking, *keep, *sequence, *clock;
    unsigned long thread;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OOOk", known, &PyList_Type, &looking, &keep,
                                     &sequence, &clock, &thread))
        return -1;
    if (self->log != NULL || PyList_Size(looking) != 1) {
        PyErr_SetString(PyExc_TypeError, "it was made already, or of something else");
        return -1;
    }
    self->looking = Py_NewRef(looking);
    self->keep = Py_NewRef(keep);
    self->sequence = Py_NewRef(sequence);
    self->clock = Py_NewRef(clock);
    self->thread = thread;
    self->epoch = 1;
    self->last = Py_NewRef(Py_None);
    self->busy = PyList_New(0);
    self->waiting = PyList_New(0);
    self->known = PyList_New(0);
    self->log = PyList_New(0);
    return self->busy == NULL || self->waiting == NULL || self->known == NULL || self->log == NULL ? -1 : 0;
}

static int pulse_traverse(Pulse *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    Py_VISIT(self->log);
    Py_VISIT(self->busy);
    Py_VISIT(self->waiting);
    Py_VISIT(self->known);
    Py_VISIT(self->looking);
    Py_VISIT(self->keep);
    Py_VISIT(self->sequence);
    Py_VISIT(self->clock);
    Py_VISIT(self->last);
    return 0;
}

static int pulse_clear(Pulse *self)
{
    Py_CLEAR(self->log);
    Py_CLEAR(self->busy);
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->known);
    Py_CLEAR(self->looking);
    Py_CLEAR(self->keep);
    Py_CLEAR(self->sequence);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->last);
    return 0;
}

static void pulse_free(Pulse *self)
{
    PyObject_GC_UnTrack(self);
    pulse_clear(self);
    given_back((PyObject *)self);
}

static PyMemberDef members[] = {
    {"log", T_OBJECT, offsetof(Pulse, log), READONLY, NULL},
    {"busy", T_OBJECT, offsetof(Pulse, busy), READONLY, NULL},
    {"waiting", T_OBJECT, offsetof(Pulse, waiting), READONLY, NULL},
    {"looking", T_OBJECT, offsetof(Pulse, looking), READONLY, NULL},
    {"keep", T_OBJECT, offsetof(Pulse, keep), READONLY, NULL},
    {"sequence", T_OBJECT, offsetof(Pulse, sequence), READONLY, NULL},
    {"clock", T_OBJECT, offsetof(Pulse, clock), READONLY, NULL},
    {"known", T_OBJECT, offsetof(Pulse, known), READONLY, NULL},
    {"last", T_OBJECT, offsetof(Pulse, last), 0, NULL},
    {"epoch", T_LONGLONG, offsetof(Pulse, epoch), 0, NULL},
    {"serial", T_LONGLONG, offsetof(Pulse, serial), 0, NULL},
    {"due", T_LONGLONG, offsetof(Pulse, due), 0, NULL},
    {"looked", T_LONGLONG, offsetof(Pulse, looked), 0, NULL},
    {"began", T_LONGLONG, offsetof(Pulse, began), 0, NULL},
    {"end", T_LONGLONG, offsetof(Pulse, end), 0, NULL},
    {"between", T_LONGLONG, offsetof(Pulse, between), 0, NULL},
    {"thread", T_ULONG, offsetof(Pulse, thread), READONLY, NULL},
    {"automatic", T_BOOL, offsetof(Pulse, automatic), 0, NULL},
    {"boundary", T_BOOL, offsetof(Pulse, boundary), 0, NULL},
    {"derived", T_BOOL, offsetof(Pulse, derived), 0, NULL},
    {"fresh", T_BOOL, offsetof(Pulse, fresh), 0, NULL},
    {"overdue", T_BOOL, offsetof(Pulse, overdue), 0, NULL},
    {"settled", T_BOOL, offsetof(Pulse, settled), 0, NULL},
    {"watching", T_BOOL, offsetof(Pulse, watching), 0, NULL},
    {"wary", T_BOOL, offsetof(Pulse, wary), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
    {"stepped", (PyCFunction)pulse_stepped, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, PyType_GenericNew}, {Py_tp_init, pulse_init},    {Py_tp_traverse, pulse_traverse},
    {Py_tp_clear, pulse_clear},     {Py_tp_dealloc, pulse_free}, {Py_tp_members, members},
    {Py_tp_methods, methods},       {0, NULL},
};

PyType_Spec pulse_spec = {
    .name = "profilers._hot.Pulse",
    .basicsize = sizeof(Pulse),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
