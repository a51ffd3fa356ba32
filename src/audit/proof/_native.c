/* SHA-256 of many short inputs in one call: what hashlib does, without its cost for each object and each setting up.

   The hash itself is OpenSSL's, which is what hashlib uses as well. Optional: `sha256.py` does without where this was
   not built, and says what each function does. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* one build for CPython 3.11 and all after it */
#include <Python.h>
#include <openssl/evp.h>

#define HASH_BYTES 32

typedef struct {
    EVP_MD *sha256; /* fetched once: looking it up is most of what a hash of a few bytes costs */
} State;

static int
digest(EVP_MD_CTX *context, const EVP_MD *sha256, const char *prefix, Py_ssize_t prefix_size, const char *input,
       Py_ssize_t size, unsigned char *found)
{
    if (EVP_DigestInit_ex(context, sha256, NULL) && EVP_DigestUpdate(context, prefix, (size_t)prefix_size)
        && EVP_DigestUpdate(context, input, (size_t)size) && EVP_DigestFinal_ex(context, found, NULL)) {
        return 1;
    }
    PyErr_SetString(PyExc_RuntimeError, "OpenSSL can't make a SHA-256");
    return 0;
}

static PyObject *
hash_each(PyObject *module, PyObject *args)
{
    const State *state = PyModule_GetState(module);
    const char *prefix;
    Py_ssize_t prefix_size;
    PyObject *inputs;
    if (!PyArg_ParseTuple(args, "y#O!:hash_each", &prefix, &prefix_size, &PyList_Type, &inputs)) {
        return NULL;
    }
    /* No code of Python's runs below, so that nobody can change the list meanwhile. */
    Py_ssize_t count = PyList_Size(inputs);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    PyObject *hashes = context == NULL ? PyErr_NoMemory() : PyList_New(count);
    for (Py_ssize_t at = 0; hashes != NULL && at < count; at++) {
        char *input;
        Py_ssize_t size;
        PyObject *hash = NULL;
        if (PyBytes_AsStringAndSize(PyList_GetItem(inputs, at), &input, &size) == 0) {
            hash = PyBytes_FromStringAndSize(NULL, HASH_BYTES);
        }
        if (hash == NULL
            || !digest(context, state->sha256, prefix, prefix_size, input, size, (unsigned char *)PyBytes_AsString(hash))) {
            Py_XDECREF(hash);
            Py_CLEAR(hashes);
        }
        else {
            PyList_SetItem(hashes, at, hash); /* takes the reference */
        }
    }
    EVP_MD_CTX_free(context);
    return hashes;
}

static PyObject *
hash_pairs(PyObject *module, PyObject *args)
{
    const State *state = PyModule_GetState(module);
    const char *prefix, *inputs;
    Py_ssize_t prefix_size, size;
    if (!PyArg_ParseTuple(args, "y#y#:hash_pairs", &prefix, &prefix_size, &inputs, &size)) {
        return NULL;
    }
    Py_ssize_t count = size / (2 * HASH_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    PyObject *hashes = context == NULL ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, count * HASH_BYTES);
    for (Py_ssize_t at = 0; hashes != NULL && at < count; at++) {
        if (!digest(context, state->sha256, prefix, prefix_size, inputs + at * 2 * HASH_BYTES, 2 * HASH_BYTES,
                    (unsigned char *)PyBytes_AsString(hashes) + at * HASH_BYTES)) {
            Py_CLEAR(hashes);
        }
    }
    EVP_MD_CTX_free(context);
    return hashes;
}

static int
start(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (state->sha256 == NULL) {
        PyErr_SetString(PyExc_ImportError, "OpenSSL has no SHA-256");
        return -1;
    }
    return 0;
}

static void
end(void *module)
{
    EVP_MD_free(((State *)PyModule_GetState(module))->sha256);
}

static PyMethodDef methods[] = {
    {"hash_each", hash_each, METH_VARARGS, NULL},
    {"hash_pairs", hash_pairs, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, start},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_size = sizeof(State),
    .m_methods = methods,
    .m_slots = slots,
    .m_free = end,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
