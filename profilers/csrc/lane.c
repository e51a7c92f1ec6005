/* A settled model's call: all that is ours of it, before and behind the forward. */

#include "hot.h"

#define MOST_EVENTS 1024 /* profilers.steps.settled.glance */
#define RAISED -1        /* profilers.steps.folding.events */

/* ------------------------------------------------------------ before the forward */

static int is_open(Lane *self)
{
    Pulse *pulse = self->pulse;
    return pulse->watching && !pulse->settled && !pulse->overdue && pulse->epoch == self->epoch
        && pulse->thread == PyThread_get_thread_ident() && !PyList_Size(pulse->busy)
        && !PyList_Size(pulse->waiting) && PyList_Size(pulse->log) < MOST_EVENTS;
}

static int is_alike(Lane *self)
{
    if (self->alike == Py_None)
        return 1;
    PyObject *found = PyObject_CallNoArgs(self->alike);
    int alike = found != NULL && PyObject_IsTrue(found) == 1;
    Py_XDECREF(found);
    return alike;
}

static PyObject *noted(Lane *self)
{
    Pulse *pulse = self->pulse;
    PyObject *now = PyObject_CallNoArgs(pulse->clock), *fired = PyList_New(0), *call = NULL;
    if (now != NULL && fired != NULL)
        call = PyTuple_Pack(4, self->kind, fired, now, Py_False);
    Py_XDECREF(now);
    Py_XDECREF(fired);
    if (call != NULL && PyList_Append(pulse->log, call) < 0)
        Py_CLEAR(call);
    if (call != NULL && pulse->boundary) {
        pulse->boundary = 0;
        pulse->serial++;
    }
    return call;
}

/* The call that is noted: a new reference, or NULL and nothing done where it is not as all were. NULL comes with
   an error where something is no longer there, or where a handler of the program's raised it. */
static PyObject *begins(Lane *self, PyObject *args, PyObject *kwargs)
{
    if (is_open(self) && is_same(&self->glance, args, kwargs) && is_alike(self))
        return noted(self);
    return NULL;
}

/* ------------------------------------------------------------ the forward */

static PyObject *runs(State *names, Lane *self, PyObject *args, PyObject *kwargs)
{
    PyObject *before = self->first, *module, *inner = NULL, *out = NULL;
    self->first = PyObject_CallNoArgs(self->pulse->sequence);
    Py_XDECREF(before);
    self->pulse->settled = 1;
    if (self->first == NULL || swap(&self->glance, 0) < 0)
        return NULL;
    module = PyObject_CallNoArgs(self->module);
    if (module != NULL)
        inner = PyObject_GetAttr(module, names->call_impl);
    if (inner != NULL)
        out = PyObject_Call(inner, args, kwargs);
    Py_XDECREF(inner);
    Py_XDECREF(module);
    return out;
}

/* ------------------------------------------------------------ behind it */

/* The call is over, or broke off: everything stands again where it stood. */
static int over(Lane *self)
{
    self->pulse->settled = 0;
    if (self->pulse->epoch == self->epoch)
        return swap(&self->glance, 1);
    PyObject *found = PyObject_CallNoArgs(self->restore);
    Py_XDECREF(found);
    return found == NULL ? -1 : 0;
}

/* The forward raised, and goes on raising. */
static void breaks(Lane *self, PyObject *call)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *raised = PyLong_FromLong(RAISED);
    if (raised == NULL || PyList_Append(PyTuple_GetItem(call, 1), raised) < 0)
        PyErr_Clear();
    Py_XDECREF(raised);
    if (over(self) < 0)
        PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

static int waits(Lane *self, PyObject *call, PyObject *span)
{
    PyObject *serial = PyLong_FromLongLong(self->pulse->serial), *one = NULL;
    if (serial != NULL)
        one = PyTuple_Pack(5, span, call, serial, PyTuple_GetItem(call, 1), (PyObject *)self);
    int failed = one == NULL || PyList_Append(self->pulse->waiting, one) < 0;
    Py_XDECREF(serial);
    Py_XDECREF(one);
    return failed ? -1 : 0;
}

/* What the call added to the graph: two numbers, and whose they are. */
static PyObject *spanned(Lane *self, long long *first, long long *last)
{
    PyObject *now = PyObject_CallNoArgs(self->pulse->sequence), *span = NULL;
    if (now == NULL)
        return NULL;
    *first = PyLong_AsLongLong(self->first);
    *last = PyLong_AsLongLong(now);
    if (!PyErr_Occurred())
        span = PyTuple_Pack(3, self->first, now, self->name);
    Py_DECREF(now);
    if (span == NULL)
        return NULL;
    PyObject *kept = PyObject_CallFunctionObjArgs(self->pulse->keep, span, NULL);
    if (kept == NULL)
        Py_CLEAR(span);
    Py_XDECREF(kept);
    return span;
}

/* The forward answered: what it added to the graph, if its outputs need hooks, else None; NULL with an error. */
static PyObject *ends(Lane *self, PyObject *call, PyObject *out)
{
    long long first, last;
    if (over(self) < 0)
        return NULL;
    PyObject *span = spanned(self, &first, &last);
    if (span == NULL)
        return NULL;
    self->pulse->between += first - self->pulse->end;
    self->pulse->end = last;
    if (last - first != self->nodes || (PyObject *)Py_TYPE(out) != self->kept || !is_off(self->pulse->looking))
        return span;
    /* All as it always was: its backward needs no hook. */
    int failed = waits(self, call, span);
    Py_DECREF(span);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* An error is handed to what stands before the module, which lets it go no further if it is one of ours. */
static PyObject *told(PyObject *how, PyObject *seam)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL && PyException_SetTraceback(value, trace) < 0)
        PyErr_Clear();
    PyObject *found = PyObject_CallMethodObjArgs(seam, how, value, NULL);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return found;
}

/* What stands before the module does what is left to do; answers -1 with an error that is the program's. */
static int left(State *names, Lane *self, PyObject *seam, PyObject *call, PyObject *out, PyObject *args,
                PyObject *kwargs)
{
    PyObject *span = ends(self, call, out), *found;
    if (span == NULL)
        found = PyErr_ExceptionMatches(PyExc_Exception) ? told(names->failed, seam) : NULL;
    else if (span == Py_None)
        return Py_DECREF(span), 0;
    else
        found = PyObject_CallMethodObjArgs(seam, names->left, call, out, span, args, kwargs, NULL);
    Py_XDECREF(span);
    Py_XDECREF(found);
    return found == NULL ? -1 : 0;
}

static PyObject *lane_calls(Lane *self, PyObject *const *given, Py_ssize_t number)
{
    if (number != 3 || !PyTuple_Check(given[1]) || !PyDict_Check(given[2])) {
        PyErr_SetString(PyExc_TypeError, "calls() takes a seam, a tuple and a dictionary");
        return NULL;
    }
    State *names = PyType_GetModuleState(Py_TYPE((PyObject *)self)); /* made with it, so it is there */
    PyObject *call = begins(self, given[1], given[2]);
    if (call == NULL) {
        PyObject *passed = PyErr_Occurred() ? told(names->passed_on, given[0]) : Py_NewRef(Py_None);
        Py_XDECREF(passed);
        return passed == NULL ? NULL : Py_NewRef((PyObject *)self);
    }
    PyObject *out = runs(names, self, given[1], given[2]);
    if (out == NULL)
        breaks(self, call);
    else if (left(names, self, given[0], call, out, given[1], given[2]) < 0)
        Py_CLEAR(out);
    Py_DECREF(call);
    return out;
}

/* ------------------------------------------------------------ making and freeing */

/* Named arguments of ours, which the glance knows nothing of: taken out of the others, each a new reference. */
static int taken(PyObject *rest, const char *const *wanted, PyObject **into)
{
    for (; *wanted != NULL; wanted++, into++) {
        PyObject *found = PyDict_GetItemString(rest, *wanted);
        if (found == NULL) {
            PyErr_Format(PyExc_TypeError, "%s is missing", *wanted);
            return -1;
        }
        *into = Py_NewRef(found);
        if (PyDict_DelItemString(rest, *wanted) < 0)
            return -1;
    }
    return 0;
}

static const char *const wanted[] = {"pulse",   "kind", "name",   "module", "restore", "alike", "kept",
                                     "arrived", "ways", "beside", "nodes",  "back",    NULL};
#define WANTED 12

static Lane *made(PyTypeObject *type, PyObject *args, PyObject *rest, PyObject **mine)
{
    State *state = PyType_GetModuleState(type);
    if (state == NULL || taken(rest, wanted, mine) < 0 || !is_pulse(state, mine[0]))
        return NULL;
    if (!PyDict_Check(mine[8]) || !PyDict_Check(mine[9])) {
        PyErr_SetString(PyExc_TypeError, "ways and what is beside them are dictionaries");
        return NULL;
    }
    long long nodes = PyLong_AsLongLong(mine[10]), back = PyLong_AsLongLong(mine[11]);
    Lane *self = PyErr_Occurred() ? NULL : (Lane *)glance_new(type, args, rest);
    if (self == NULL)
        return NULL;
    PyObject **into[] = {(PyObject **)&self->pulse, &self->kind,  &self->name, &self->module,
                         &self->restore,            &self->alike, &self->kept, &self->arrived,
                         &self->ways,               &self->beside};
    for (int place = 0; place < 10; place++)
        *into[place] = Py_NewRef(mine[place]);
    self->epoch = self->pulse->epoch;
    self->nodes = nodes;
    self->back = back;
    return self;
}

static PyObject *lane_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *rest = kwargs == NULL ? NULL : PyDict_Copy(kwargs);
    if (rest == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "everything is named");
        return NULL;
    }
    PyObject *mine[WANTED] = {NULL};
    Lane *self = made(type, args, rest, mine);
    for (int place = 0; place < WANTED; place++)
        Py_XDECREF(mine[place]);
    Py_DECREF(rest);
    return (PyObject *)self;
}

static int lane_traverse(Lane *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)self->pulse);
    Py_VISIT(self->kind);
    Py_VISIT(self->module);
    Py_VISIT(self->restore);
    Py_VISIT(self->alike);
    Py_VISIT(self->kept);
    Py_VISIT(self->ways);
    Py_VISIT(self->beside);
    Py_VISIT(self->type);
    Py_VISIT(self->way);
    Py_VISIT(self->aside);
    return glance_traverse(&self->glance, visit, arg);
}

/* No clear of our own: the glance's lists are where the circles go through, and the rest is never half there. */
static void lane_free(Lane *self)
{
    PyObject_GC_UnTrack(self);
    glance_clear(&self->glance);
    Py_XDECREF((PyObject *)self->pulse);
    PyObject *rest[] = {self->kind,    self->name, self->module, self->restore, self->alike, self->kept, self->arrived,
                        self->ways,    self->beside, self->first,  self->type,    self->way,   self->aside};
    for (size_t place = 0; place < sizeof(rest) / sizeof(rest[0]); place++)
        Py_XDECREF(rest[place]);
    given_back((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"calls", (PyCFunction)(void (*)(void))lane_calls, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"kind", T_OBJECT, offsetof(Lane, kind), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, lane_new},         {Py_tp_traverse, lane_traverse}, {Py_tp_dealloc, lane_free},
    {Py_tp_methods, methods},      {Py_tp_members, members},        {Py_tp_clear, glance_clear},
    {0, NULL},
};

PyType_Spec lane_spec = {
    .name = "profilers._hot.Lane",
    .basicsize = sizeof(Lane),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
