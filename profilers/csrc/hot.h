/* What the compiled files share.

   They are the same as the classes of their names in profilers/steps/settled/glance.py and profilers/steps/settled/pulse.py,
   which say what is done and why; where no compiler was at hand, those work. What costs there is not the
   doing but what it reaches for after a step of training, when no cache holds anything of ours: frames,
   code, numbers, tuples (design/123). Written against the stable interface of Python 3.11, so that one file
   serves every later version. */

#ifndef FLOPLEDGER_HOT_H
#define FLOPLEDGER_HOT_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

/* Rises with what is taken or answered here; settled/compiled.py takes no other. */
#define VERSION 4

#pragma GCC visibility push(hidden)

typedef struct {
    Py_ssize_t length;
    void *at;
} Array;

/* glance.c: what a settled model's call is compared with. */
typedef struct {
    PyObject_HEAD
    Array items;      /* Item: dictionary or list, key, what it holds there */
    Array sized;      /* Sized */
    Array asked;      /* Pair: function, its answer */
    Array required;   /* Pair: parameter, whether it requires a gradient */
    Array given;      /* Pair: an input's type, and its looks or value */
    Array swapped;    /* Pair: dictionary of a module, its seam */
    PyObject *classes, *holders; /* lists; the second one is changed in place */
    PyObject *names;             /* of named inputs */
    PyObject *looks;             /* tuple: torch's descriptors of a tensor's looks */
    PyObject *flag;              /* torch's descriptor of requires_grad */
    PyObject *tensor;            /* torch.Tensor */
    PyObject *entry;             /* the key of a seam */
} Glance;

/* pulse.c: what a recording knows from one moment to the next. */
typedef struct {
    PyObject_HEAD
    PyObject *log, *busy, *waiting, *known, *looking; /* lists */
    PyObject *keep;                           /* takes a call's span */
    PyObject *sequence, *clock;               /* the graph's next number, and the time */
    PyObject *last;                           /* the optimizer that stepped last, weakly, and its name */
    long long epoch, serial, due, looked, began, end, between;
    unsigned long thread;
    char automatic, boundary, derived, fresh, overdue, settled, watching, wary;
} Pulse;

/* lane.c: the shorter way of a settled model's call. */
typedef struct {
    Glance glance;
    Pulse *pulse;
    PyObject *kind;
    PyObject *name;    /* of the call's span */
    PyObject *module;  /* weakly: whose calls they are */
    PyObject *restore; /* puts seams back after modules came or went */
    PyObject *alike;   /* None, or answers whether what the glance does not compare is as it was */
    PyObject *kept;    /* the type of what the forward answers */
    PyObject *arrived; /* the places of the outputs at which gradients arrive, as one number */
    PyObject *ways, *beside; /* dictionaries: by how a graph ends, the way from there and what is beside it */
    PyObject *first;         /* the graph's next number when the call that runs began */
    long long epoch, nodes, back;
    /* What the last pass looked up there. */
    PyObject *type, *way, *aside;
    long long added, between;
} Lane;

/* Of the module. */
typedef struct {
    PyTypeObject *pulse, *lane;
    PyObject *grad_fn, *next_functions, *sequence_nr, *call_impl, *left, *failed, *passed_on; /* names */
} State;

extern PyType_Spec glance_spec, lane_spec, pulse_spec, engine_spec;

/* May leave an error, and is then no. */
int is_same(Glance *self, PyObject *args, PyObject *kwargs);
int swap(Glance *self, int back);
PyObject *glance_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int glance_traverse(Glance *self, visitproc visit, void *arg);
int glance_clear(Glance *self);

/* Whether something is a pulse that was made; else an error is set. */
int is_pulse(State *state, PyObject *object);

/* The end of an object whose contents are gone. */
void given_back(PyObject *object);

/* Whether a list's first thing is False. */
int is_off(PyObject *list);

#pragma GCC visibility pop

#endif
