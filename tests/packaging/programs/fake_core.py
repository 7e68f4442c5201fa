"""Imports a feature's extension on a core of another ABI: fake_core.py MODULE MAJOR MINOR; prints the ImportError."""

import ctypes
import importlib
import sys
import types


class Table(ctypes.Structure):
    """The first fields of awscrt_core_api, which never change (awscrt/core_api.h)."""

    _fields_ = [
        ("abi_major", ctypes.c_uint32),
        ("abi_minor", ctypes.c_uint32),
        ("struct_size", ctypes.c_size_t),
        ("version", ctypes.c_char_p),
    ]


name, major, minor = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
table = Table(major, minor, ctypes.sizeof(Table), b"9.8.7")
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
core = types.ModuleType("awscrt._core")
core._C_API = new_capsule(ctypes.addressof(table), b"awscrt._core._C_API", None)  # type: ignore[attr-defined]
sys.modules["awscrt._core"] = core
try:
    importlib.import_module(name)
except ImportError as error:
    print(error)
