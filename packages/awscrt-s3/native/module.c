/* awscrt._s3: the native part of awscrt.s3. */
#define AWSCRT_CORE_IMPLEMENT
#define AWSCRT_HTTP_IMPLEMENT
#include "binding.h"

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "awscrt._s3",
    .m_doc = "Native part of awscrt.s3.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__s3(void) {
    if (awscrt_core_import("awscrt-s3") || awscrt_http_import("awscrt-s3")) {
        return NULL;
    }
    crt_s3_register_errors();
    PyObject *module = PyModule_Create(&definition);
    if (!module) {
        return NULL;
    }
    if (PyModule_AddFunctions(module, awscrt_s3_client_methods) ||
        PyModule_AddFunctions(module, awscrt_s3_transfer_methods)) {
        Py_DECREF(module);
        return NULL;
    }
#if defined(Py_GIL_DISABLED)
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
