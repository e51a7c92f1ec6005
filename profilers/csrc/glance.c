/* Compares a settled model's call with those before it: one look at a hundred things of the program's.

   Everything lies side by side. Nothing here may raise: what cannot be compared is not the same. */

#include "hot.h"

typedef struct {
    PyObject *holder, *name, *value;
} Item;

_Static_assert(sizeof(Item) == 3 * sizeof(PyObject *), "rows are filled object by object");

typedef struct {
    PyObject *holder;
    Py_ssize_t size;
} Sized;

typedef struct {
    PyObject *first, *second;
} Pair;

/* ------------------------------------------------------------ comparing */

static int equal(PyObject *one, PyObject *other)
{
    if (one == other)
        return 1;
    return PyObject_RichCompareBool(one, other, Py_EQ) == 1;
}

static int has(PyObject *holder, PyObject *name, PyObject *value)
{
    if (PyDict_CheckExact(holder))
        return PyDict_GetItemWithError(holder, name) == value;
    PyObject *found = PyObject_GetItem(holder, name);
    Py_XDECREF(found);
    return found != NULL && found == value;
}

/* What a descriptor says of an object: a new reference. */
static PyObject *ask(PyObject *descriptor, PyObject *of)
{
    descrgetfunc get = (descrgetfunc)PyType_GetSlot(Py_TYPE(descriptor), Py_tp_descr_get);
    return get(descriptor, of, (PyObject *)Py_TYPE(of));
}

static int looks_alike(Glance *self, PyObject *value, PyObject *looks)
{
    Py_ssize_t number = PyTuple_Size(looks);
    for (Py_ssize_t place = 0; place < number; place++) {
        PyObject *found = ask(PyTuple_GetItem(self->looks, place), value);
        if (found == NULL)
            return 0;
        int same = equal(found, PyTuple_GetItem(looks, place));
        Py_DECREF(found);
        if (!same)
            return 0;
    }
    return 1;
}

static int is_given(Glance *self, const Pair *given, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != given->first)
        return 0;
    if (given->first == self->tensor)
        return looks_alike(self, value, given->second);
    return equal(value, given->second);
}

static int same_inputs(Glance *self, PyObject *args, PyObject *kwargs)
{
    const Pair *given = self->given.at;
    Py_ssize_t placed = PyTuple_Size(args), named = PyDict_Size(kwargs);
    if (placed + named != self->given.length || named != PyTuple_Size(self->names))
        return 0;
    for (Py_ssize_t place = 0; place < placed; place++)
        if (!is_given(self, given++, PyTuple_GetItem(args, place)))
            return 0;
    PyObject *name, *value;
    Py_ssize_t next = 0, place = 0;
    while (named && PyDict_Next(kwargs, &next, &name, &value)) {
        if (!equal(name, PyTuple_GetItem(self->names, place++)) || !is_given(self, given++, value))
            return 0;
    }
    return 1;
}

static int same_answers(Glance *self)
{
    const Pair *asked = self->asked.at;
    for (Py_ssize_t place = 0; place < self->asked.length; place++, asked++) {
        PyObject *found = PyObject_CallNoArgs(asked->first);
        if (found == NULL)
            return 0;
        int same = equal(found, asked->second);
        Py_DECREF(found);
        if (!same)
            return 0;
    }
    return 1;
}

static int same_items(Glance *self)
{
    const Item *item = self->items.at;
    for (Py_ssize_t place = 0; place < self->items.length; place++, item++)
        if (!has(item->holder, item->name, item->value))
            return 0;
    const Sized *sized = self->sized.at;
    for (Py_ssize_t place = 0; place < self->sized.length; place++, sized++) {
        PyObject *holder = sized->holder;
        if ((PyDict_CheckExact(holder) ? PyDict_Size(holder) : PyObject_Size(holder)) != sized->size)
            return 0;
    }
    return 1;
}

static int same_classes(Glance *self)
{
    Py_ssize_t number = PyList_Size(self->classes);
    if (PyList_Size(self->holders) != number)
        return 0;
    for (Py_ssize_t place = 0; place < number; place++) {
        Py_ssize_t held = PyLong_AsSsize_t(PyList_GetItem(self->holders, place));
        if (Py_REFCNT(PyList_GetItem(self->classes, place)) + 1 != held) /* whoever asks holds it, too */
            return 0;
    }
    return 1;
}

static int same_flags(Glance *self)
{
    descrgetfunc get = (descrgetfunc)PyType_GetSlot(Py_TYPE(self->flag), Py_tp_descr_get);
    const Pair *one = self->required.at;
    for (Py_ssize_t place = 0; place < self->required.length; place++, one++) {
        PyObject *found = get(self->flag, one->first, (PyObject *)Py_TYPE(one->first));
        Py_XDECREF(found); /* True or False, which nobody can free */
        if (found != one->second)
            return 0;
    }
    return 1;
}

int is_same(Glance *self, PyObject *args, PyObject *kwargs)
{
    int same = same_answers(self) && same_inputs(self, args, kwargs) && same_items(self) && same_classes(self)
        && same_flags(self);
    return same && !PyErr_Occurred();
}

static PyObject *glance_same(Glance *self, PyObject *const *given, Py_ssize_t number)
{
    if (number != 2 || !PyTuple_Check(given[0]) || !PyDict_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "same() takes a tuple and a dictionary");
        return NULL;
    }
    int same = is_same(self, given[0], given[1]);
    PyErr_Clear(); /* something is no longer there */
    return PyBool_FromLong(same);
}

/* ------------------------------------------------------------ seams */

int swap(Glance *self, int back)
{
    const Pair *one = self->swapped.at;
    for (Py_ssize_t place = 0; place < self->swapped.length; place++, one++)
        if (PyDict_SetItem(one->first, self->entry, back ? one->second : Py_None) < 0)
            return -1;
    return 0;
}

static PyObject *glance_part(Glance *self, PyObject *Py_UNUSED(ignored))
{
    return swap(self, 0) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *glance_join(Glance *self, PyObject *Py_UNUSED(ignored))
{
    return swap(self, 1) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ------------------------------------------------------------ making and freeing */

/* Rows of so many objects each, from a sequence of tuples. */
static int fill(Array *array, PyObject *rows, Py_ssize_t width)
{
    Py_ssize_t length = PySequence_Size(rows);
    if (length < 0)
        return -1;
    PyObject **at = PyMem_Calloc(length ? length * width : 1, sizeof(PyObject *));
    if (at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    array->at = at;
    for (Py_ssize_t place = 0; place < length; place++) {
        PyObject *row = PySequence_GetItem(rows, place);
        if (row == NULL || !PyTuple_Check(row) || PyTuple_Size(row) != width) {
            Py_XDECREF(row);
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a row of another length");
            return -1;
        }
        for (Py_ssize_t column = 0; column < width; column++)
            *at++ = Py_NewRef(PyTuple_GetItem(row, column));
        Py_DECREF(row);
        array->length = place + 1;
    }
    return 0;
}

static int fill_sized(Array *array, PyObject *holders, PyObject *sizes)
{
    Py_ssize_t length = PyList_Check(holders) && PyList_Check(sizes) ? PyList_Size(holders) : -1;
    if (length < 0 || PyList_Size(sizes) != length) {
        PyErr_SetString(PyExc_TypeError, "holders and sizes must be lists of one length");
        return -1;
    }
    Sized *at = array->at = PyMem_Calloc(length ? length : 1, sizeof(Sized));
    if (at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t place = 0; place < length; place++, at++) {
        at->size = PyLong_AsSsize_t(PyList_GetItem(sizes, place));
        if (at->size == -1 && PyErr_Occurred())
            return -1;
        at->holder = Py_NewRef(PyList_GetItem(holders, place));
        array->length = place + 1;
    }
    return 0;
}

static int can_tell(PyObject *descriptor)
{
    if (PyType_GetSlot(Py_TYPE(descriptor), Py_tp_descr_get) != NULL)
        return 1;
    PyErr_SetString(PyExc_TypeError, "looks and flag must be descriptors");
    return 0;
}

static int are_tables(const Array *swapped)
{
    const Pair *one = swapped->at;
    for (Py_ssize_t place = 0; place < swapped->length; place++)
        if (!PyDict_Check(one[place].first)) {
            PyErr_SetString(PyExc_TypeError, "seams stand in dictionaries");
            return 0;
        }
    return 1;
}

PyObject *glance_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *known[] = {"items", "holders", "sizes", "classes", "counts", "asked", "required",
                            "given", "names", "swapped", "looks", "flag", "tensor", "entry", NULL};
    PyObject *items, *holders, *sizes, *classes, *counts, *asked, *required, *given, *named, *swapped;
    PyObject *looks, *flag, *tensor, *entry;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "$OOOO!O!OOOO!OO!OOO", known, &items, &holders, &sizes, &PyList_Type, &classes,
            &PyList_Type, &counts, &asked, &required, &given, &PyTuple_Type, &named, &swapped,
            &PyTuple_Type, &looks, &flag, &tensor, &entry))
        return NULL;
    if (!can_tell(flag))
        return NULL;
    for (Py_ssize_t place = 0; place < PyTuple_Size(looks); place++)
        if (!can_tell(PyTuple_GetItem(looks, place)))
            return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Glance *self = (Glance *)make(type, 0);
    if (self == NULL)
        return NULL;
    self->classes = Py_NewRef(classes);
    self->holders = Py_NewRef(counts);
    self->names = Py_NewRef(named);
    self->looks = Py_NewRef(looks);
    self->flag = Py_NewRef(flag);
    self->tensor = Py_NewRef(tensor);
    self->entry = Py_NewRef(entry);
    if (fill(&self->items, items, 3) || fill_sized(&self->sized, holders, sizes)
        || fill(&self->asked, asked, 2) || fill(&self->required, required, 2)
        || fill(&self->given, given, 2) || fill(&self->swapped, swapped, 2)
        || !are_tables(&self->swapped)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int visit_rows(const Array *array, Py_ssize_t width, visitproc visit, void *arg)
{
    PyObject **at = array->at;
    for (Py_ssize_t place = 0; at && place < array->length * width; place++)
        Py_VISIT(at[place]);
    return 0;
}

int glance_traverse(Glance *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    Py_VISIT(self->classes);
    Py_VISIT(self->holders);
    Py_VISIT(self->names);
    Py_VISIT(self->looks);
    Py_VISIT(self->flag);
    Py_VISIT(self->tensor);
    Py_VISIT(self->entry);
    const Sized *sized = self->sized.at;
    for (Py_ssize_t place = 0; place < self->sized.length; place++)
        Py_VISIT(sized[place].holder);
    int found = visit_rows(&self->items, 3, visit, arg);
    const Array *pairs[] = {&self->asked, &self->required, &self->given, &self->swapped};
    for (int place = 0; !found && place < 4; place++)
        found = visit_rows(pairs[place], 2, visit, arg);
    return found;
}

static void free_rows(Array *array, Py_ssize_t width)
{
    PyObject **at = array->at;
    Py_ssize_t number = array->length * width;
    array->at = NULL;
    array->length = 0;
    for (Py_ssize_t place = 0; at && place < number; place++)
        Py_DECREF(at[place]);
    PyMem_Free(at);
}

int glance_clear(Glance *self)
{
    Array sized = self->sized;
    self->sized.at = NULL;
    self->sized.length = 0;
    for (Py_ssize_t place = 0; place < sized.length; place++)
        Py_DECREF(((Sized *)sized.at)[place].holder);
    PyMem_Free(sized.at);
    free_rows(&self->items, 3);
    free_rows(&self->asked, 2);
    free_rows(&self->required, 2);
    free_rows(&self->given, 2);
    free_rows(&self->swapped, 2);
    Py_CLEAR(self->classes);
    Py_CLEAR(self->holders);
    Py_CLEAR(self->names);
    Py_CLEAR(self->looks);
    Py_CLEAR(self->flag);
    Py_CLEAR(self->tensor);
    Py_CLEAR(self->entry);
    return 0;
}

static void glance_free(Glance *self)
{
    PyObject_GC_UnTrack(self);
    glance_clear(self);
    given_back((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"same", (PyCFunction)(void (*)(void))glance_same, METH_FASTCALL, NULL},
    {"part", (PyCFunction)glance_part, METH_NOARGS, NULL},
    {"join", (PyCFunction)glance_join, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, glance_new},      {Py_tp_traverse, glance_traverse}, {Py_tp_clear, glance_clear},
    {Py_tp_dealloc, glance_free}, {Py_tp_methods, methods},          {0, NULL},
};

PyType_Spec glance_spec = {
    .name = "profilers._hot.Glance",
    .basicsize = sizeof(Glance),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
