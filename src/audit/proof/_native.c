/* What is done to every event between its encoding and the disk, many events in one call: salts, hashes, ids.

   The hash itself is OpenSSL's, which is what hashlib uses as well. Optional: `sha256.py` and `entries.py` do without
   where this was not built, and say what each function does. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* one build for CPython 3.11 and all after it */
#include <Python.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_BYTES 32
#define SALT_BYTES 16
#define SALT_STRIDE 18     /* as in `codec/events.py` */
#define SALT_CHARACTERS 22
#define ID_CHARACTERS 26

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

/* Write the 22 characters of base64url that 16 bytes come to. */
static void
write_salt(char *text, const unsigned char *salt)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int at = 0; at < SALT_BYTES - 1; at += 3) {
        unsigned long three = (unsigned long)salt[at] << 16 | (unsigned long)salt[at + 1] << 8 | salt[at + 2];
        *text++ = digits[three >> 18];
        *text++ = digits[three >> 12 & 63];
        *text++ = digits[three >> 6 & 63];
        *text++ = digits[three & 63];
    }
    *text++ = digits[salt[SALT_BYTES - 1] >> 2];
    *text = digits[(salt[SALT_BYTES - 1] & 3) << 4];
}

/* Return where a body's empty salt begins, or -1. A quote within a text is escaped: nothing before it looks like it. */
static Py_ssize_t
find_salt(const char *body, Py_ssize_t size, const char *mark, Py_ssize_t mark_size)
{
    for (Py_ssize_t at = 0; at + mark_size <= size; at++) {
        const char *found = memchr(body + at, *mark, (size_t)(size - mark_size - at + 1));
        if (found == NULL) {
            break;
        }
        at = found - body;
        if (memcmp(found, mark, (size_t)mark_size) == 0) {
            return at;
        }
    }
    return -1;
}

static PyObject *
salt_bodies(PyObject *module, PyObject *args)
{
    static const char mark[] = ",\"salt\":\"\"";
    const Py_ssize_t mark_size = sizeof mark - 1;
    const State *state = PyModule_GetState(module);
    PyObject *bodies;
    const char *random;
    Py_ssize_t random_size;
    if (!PyArg_ParseTuple(args, "O!y#:salt_bodies", &PyList_Type, &bodies, &random, &random_size)) {
        return NULL;
    }
    Py_ssize_t count = PyList_Size(bodies);
    if (random_size != count * SALT_STRIDE) {
        PyErr_SetString(PyExc_ValueError, "there are not 18 random bytes for each body");
        return NULL;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    PyObject *salted = PyList_New(count), *entries = PyList_New(count), *found = NULL;
    if (context == NULL) {
        PyErr_NoMemory();
    }
    int good = context != NULL && salted != NULL && entries != NULL;
    for (Py_ssize_t number = 0; good && number < count; number++) {
        char *body;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(bodies, number), &body, &size) != 0) {
            good = 0;
            break;
        }
        Py_ssize_t header = find_salt(body, size, mark, mark_size);
        if (header < 0) {
            PyErr_SetString(PyExc_ValueError, "a body has no place for a salt");
            good = 0;
            break;
        }
        PyObject *full = PyBytes_FromStringAndSize(NULL, size + SALT_CHARACTERS);
        PyObject *entry = PyBytes_FromStringAndSize(NULL, header + HASH_BYTES);
        if (full != NULL && entry != NULL) {
            char *text = PyBytes_AsString(full), *own = PyBytes_AsString(entry);
            Py_ssize_t start = header + mark_size - 1;
            memcpy(text, body, (size_t)start);
            write_salt(text + start, (const unsigned char *)random + number * SALT_STRIDE);
            memcpy(text + start + SALT_CHARACTERS, body + start, (size_t)(size - start));
            memcpy(own, body, (size_t)header);
            good = digest(context, state->sha256, "", 0, text + header, size + SALT_CHARACTERS - header,
                          (unsigned char *)own + header);
        }
        else {
            good = 0;
        }
        if (good) {
            PyList_SetItem(salted, number, full); /* takes the reference, as below */
            PyList_SetItem(entries, number, entry);
        }
        else {
            Py_XDECREF(full);
            Py_XDECREF(entry);
        }
    }
    EVP_MD_CTX_free(context);
    if (good) {
        found = PyTuple_Pack(2, salted, entries);
    }
    Py_XDECREF(salted);
    Py_XDECREF(entries);
    return found;
}

static PyObject *
number_bodies(PyObject *module, PyObject *args)
{
    const State *state = PyModule_GetState(module);
    PyObject *bodies, *entries, *ids;
    Py_ssize_t index;
    if (!PyArg_ParseTuple(args, "O!O!O!n:number_bodies", &PyList_Type, &bodies, &PyList_Type, &entries, &PyList_Type,
                          &ids, &index)) {
        return NULL;
    }
    Py_ssize_t count = PyList_Size(bodies);
    if (PyList_Size(entries) != count || PyList_Size(ids) != count) {
        PyErr_SetString(PyExc_ValueError, "there are not as many entries and ids as bodies");
        return NULL;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    PyObject *events = PyList_New(count), *leaves = PyList_New(count), *found = NULL;
    if (context == NULL) {
        PyErr_NoMemory();
    }
    int good = context != NULL && events != NULL && leaves != NULL;
    for (Py_ssize_t number = 0; good && number < count; number++) {
        char *body, *entry, head[96];
        Py_ssize_t size, entry_size, id_size;
        const char *id = PyUnicode_AsUTF8AndSize(PyList_GetItem(ids, number), &id_size);
        if (id == NULL || PyBytes_AsStringAndSize(PyList_GetItem(bodies, number), &body, &size) != 0
            || PyBytes_AsStringAndSize(PyList_GetItem(entries, number), &entry, &entry_size) != 0) {
            good = 0;
            break;
        }
        if (id_size != ID_CHARACTERS) {
            PyErr_SetString(PyExc_ValueError, "an id has 26 characters");
            good = 0;
            break;
        }
        /* A leaf's hash begins with a zero byte; the event does not. */
        int head_size = snprintf(head + 1, sizeof head - 1, "{\"id\":\"%s\",\"index\":%zd,", id, index + number);
        head[0] = 0;
        PyObject *event = PyBytes_FromStringAndSize(NULL, head_size + size);
        PyObject *leaf = PyBytes_FromStringAndSize(NULL, HASH_BYTES);
        if (event != NULL && leaf != NULL) {
            char *text = PyBytes_AsString(event);
            memcpy(text, head + 1, (size_t)head_size);
            memcpy(text + head_size, body, (size_t)size);
            good = digest(context, state->sha256, head, head_size + 1, entry, entry_size,
                          (unsigned char *)PyBytes_AsString(leaf));
        }
        else {
            good = 0;
        }
        if (good) {
            PyList_SetItem(events, number, event); /* takes the reference, as below */
            PyList_SetItem(leaves, number, leaf);
        }
        else {
            Py_XDECREF(event);
            Py_XDECREF(leaf);
        }
    }
    EVP_MD_CTX_free(context);
    if (good) {
        found = PyTuple_Pack(2, events, leaves);
    }
    Py_XDECREF(events);
    Py_XDECREF(leaves);
    return found;
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
    {"number_bodies", number_bodies, METH_VARARGS, NULL},
    {"salt_bodies", salt_bodies, METH_VARARGS, NULL},
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
