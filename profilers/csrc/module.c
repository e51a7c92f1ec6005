/* profilers._hot: the compiled half of profilers/steps/settled/glance.py and profilers/steps/settled/pulse.py. */

#include "hot.h"

static int add(PyObject *module, PyType_Spec *spec, PyTypeObject *base, PyTypeObject **into)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    if (!failed && into != NULL)
        *into = (PyTypeObject *)type;
    else
        Py_DECREF(type);
    return failed;
}

static int run(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyTypeObject *glance = NULL;
    PyObject **names[] = {&state->grad_fn,   &state->next_functions, &state->sequence_nr,
                          &state->call_impl, &state->left,           &state->failed,
                          &state->passed_on};
    const char *const texts[] = {"grad_fn", "next_functions", "_sequence_nr", "_call_impl",
                                 "left",    "failed",         "passed_on"};
    for (size_t place = 0; place < sizeof(texts) / sizeof(texts[0]); place++)
        if ((*names[place] = PyUnicode_InternFromString(texts[place])) == NULL)
            return -1;
    if (PyModule_AddIntConstant(module, "VERSION", VERSION))
        return -1;
    if (add(module, &pulse_spec, NULL, &state->pulse) || add(module, &glance_spec, NULL, &glance))
        return -1;
    int failed = add(module, &lane_spec, glance, &state->lane) || add(module, &engine_spec, NULL, NULL);
    Py_DECREF(glance);
    return failed ? -1 : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT((PyObject *)state->pulse);
    Py_VISIT((PyObject *)state->lane);
    return 0;
}

static int module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->pulse);
    Py_CLEAR(state->lane);
    Py_CLEAR(state->grad_fn);
    Py_CLEAR(state->next_functions);
    Py_CLEAR(state->sequence_nr);
    Py_CLEAR(state->call_impl);
    Py_CLEAR(state->left);
    Py_CLEAR(state->failed);
    Py_CLEAR(state->passed_on);
    return 0;
}

static PyModuleDef_Slot parts[] = {{Py_mod_exec, run}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "profilers._hot",
    .m_size = sizeof(State),
    .m_slots = parts,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

#pragma GCC visibility push(default)
PyMODINIT_FUNC PyInit__hot(void)
{
    return PyModuleDef_Init(&definition);
}
