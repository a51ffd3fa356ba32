/* A disk that fails: wraps the calls that change files below one directory, and fails the n-th of them.
 *
 * Loaded with LD_PRELOAD. FAILDISK_UNDER names the directory, FAILDISK_CONTROL a file as large as `struct control`,
 * which is mapped and shared: whoever writes to it (faildisk.py does) says which call is to fail, and reads what did.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FILES 4096
#define NAME 64

enum { WRITE = 1, SYNC = 2, CREATE = 4, OPEN = 8, RENAME = 16 };

struct control {
    _Atomic uint64_t calls;      /* counted so far: of the kinds asked for, below the directory */
    _Atomic uint64_t fail_at;    /* the number of the call to fail; 0: none */
    _Atomic uint64_t until_told; /* fail all that follow, too, until fail_at is 0 again */
    _Atomic uint64_t error;      /* the errno to fail with */
    _Atomic uint64_t cut;        /* a write that is to fail writes half, says so, and the next one fails */
    _Atomic uint64_t kinds;      /* which calls are counted, and fail */
    _Atomic uint64_t failed;     /* how many were failed */
    _Atomic uint64_t after;      /* writes to a write-ahead log that took a failed one before, and was not reopened */
    _Atomic uint64_t kind;       /* the first one that failed */
    char name[NAME];             /* the last part of its path */
};

/* What is known of a descriptor. A write or sync that failed leaves the file in doubt: nothing may rely on it. */
enum { FOREIGN, OURS, CUT, FAILED };
static _Atomic int states[FILES];
static char names[FILES][NAME];
static struct control *control;
static const char *under;
static size_t under_length;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void start(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    const char *path = getenv("FAILDISK_CONTROL");
    const char *directory = getenv("FAILDISK_UNDER");
    if (!path || !directory) return;
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    real_close(fd);
    if (mapped == MAP_FAILED) return;
    under_length = strlen(directory);
    under = directory;
    control = mapped;
}

static int ours(const char *path) {
    return control && !strncmp(path, under, under_length) && path[under_length] == '/';
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether this call is to fail. */
static int fails(int kind, const char *name) {
    if (!(control->kinds & kind)) return 0;
    uint64_t call = ++control->calls;
    uint64_t at = control->fail_at;
    if (!at || (control->until_told ? call < at : call != at)) return 0;
    if (!control->failed++) {
        control->kind = kind;
        strncpy(control->name, name, NAME - 1);
    }
    return 1;
}

static int state_of(int fd) { return fd >= 0 && fd < FILES ? states[fd] : FOREIGN; }

static int refuse(void) {
    errno = control->error;
    return -1;
}

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < FILES) {
        strncpy(names[fd], last_part(path), NAME - 1);
        states[fd] = OURS;
    }
    return fd;
}

static int open_file(const char *path, int flags, mode_t mode) {
    if (!ours(path)) return real_open(path, flags, mode);
    if (fails(flags & O_CREAT ? CREATE : OPEN, last_part(path))) return refuse();
    return opened(real_open(path, flags, mode), path);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

EXPORT int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(path, flags | O_LARGEFILE, mode);
}

EXPORT int close(int fd) {
    if (fd >= 0 && fd < FILES) states[fd] = FOREIGN;
    return real_close(fd);
}

/* How many of so many bytes are to be written: all, some, or -1 for none. */
static ssize_t allowed(int fd, size_t count) {
    int state = state_of(fd);
    if (state == CUT) {
        /* The rest of what was written in part: as a kernel does, the error comes now. */
        states[fd] = FAILED;
        return -1;
    }
    if (fails(WRITE, names[fd])) {
        if (control->cut && count > 1) {
            states[fd] = CUT;
            return count / 2;
        }
        states[fd] = FAILED;
        return -1;
    }
    if (state == FAILED && strstr(names[fd], ".log")) control->after++;
    return count;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count) {
    if (state_of(fd) == FOREIGN) return real_write(fd, bytes, count);
    ssize_t size = allowed(fd, count);
    return size < 0 ? refuse() : real_write(fd, bytes, size);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (state_of(fd) == FOREIGN) return real_pwrite(fd, bytes, count, at);
    ssize_t size = allowed(fd, count);
    return size < 0 ? refuse() : real_pwrite(fd, bytes, size, at);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return pwrite(fd, bytes, count, at); }

static int sync_file(int fd, int (*real)(int)) {
    if (state_of(fd) == FOREIGN) return real(fd);
    if (fails(SYNC, names[fd])) {
        states[fd] = FAILED;
        return refuse();
    }
    return real(fd);
}

EXPORT int fsync(int fd) { return sync_file(fd, real_fsync); }

EXPORT int fdatasync(int fd) { return sync_file(fd, real_fdatasync); }

EXPORT int rename(const char *from, const char *to) {
    if ((ours(from) || ours(to)) && fails(RENAME, last_part(to))) return refuse();
    return real_rename(from, to);
}
