/*
 * awscrt._core: one runtime per process, offered to Python and, through _C_API, to the features' extensions.
 */
#include "binding.h"
#include "eventstream.h"

static const awscrt_core_api api = {
    .abi_major = AWSCRT_CORE_ABI_MAJOR,
    .abi_minor = AWSCRT_CORE_ABI_MINOR,
    .struct_size = sizeof(awscrt_core_api),
    .version = CRT_VERSION,
#define AWSCRT_CORE_ENTRY(name) .fn_##name = name,
    AWSCRT_CORE_FUNCTIONS(AWSCRT_CORE_ENTRY)
#undef AWSCRT_CORE_ENTRY
};

static int add_api(PyObject *module) {
    /* The capsule's pointer is not const; features only read. */
    PyObject *capsule = PyCapsule_New((void *)(uintptr_t)&api, AWSCRT_CORE_CAPSULE, NULL);
    int status = capsule ? PyModule_AddObjectRef(module, "_C_API", capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}

static int module_exec(PyObject *module) {
    static bool loaded;
    if (loaded) {
        PyErr_SetString(PyExc_ImportError, "awscrt serves one interpreter per process; it cannot be imported in a "
                                           "second one or a second time");
        return -1;
    }
    loaded = true;
    PyMethodDef *const parts[] = {awscrt_runtime_methods, awscrt_error_methods, awscrt_io_methods, awscrt_tls_methods,
                                  awscrt_source_methods, awscrt_checksum_methods, awscrt_xxhash_methods,
                                  awscrt_logging_methods, awscrt_pkcs11_methods, awscrt_crypto_methods,
                                  awscrt_key_methods};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (PyModule_AddFunctions(module, parts[i])) {
            return -1;
        }
    }
    if (PyModule_AddStringConstant(module, "VERSION", CRT_VERSION) ||
        PyModule_AddIntConstant(module, "ABI_MAJOR", AWSCRT_CORE_ABI_MAJOR) ||
        PyModule_AddIntConstant(module, "ABI_MINOR", AWSCRT_CORE_ABI_MINOR)) {
        return -1;
    }
    return awscrt_runtime_init(module) || awscrt_future_init(module) || awscrt_cbor_init(module) ||
                   awscrt_xxhash_init(module) || awscrt_crypto_init(module) || awscrt_es_header_init(module) ||
                   awscrt_es_codec_init(module) || awscrt_es_channel_init(module) || add_api(module)
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "awscrt._core",
    .m_doc = "The native runtime: event loops, TLS, resolver; and its C API for features.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&module_def);
}
