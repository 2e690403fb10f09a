/* A disk that can fail, a clock that can jump, and a witness of both: a library for LD_PRELOAD.
 *
 * It stands between a server and the kernel for all files below one folder, and for sockets. What happens is
 * written to a trace, in order; what is to go wrong is read from a page of shared memory. It keeps no model of
 * the disk: tests/support/disk.py makes one of the trace.
 *
 *   FAULTS_ROOT     the folder, absolute
 *   FAULTS_CONTROL  a file with a `struct control`, which the test writes while the server runs
 *   FAULTS_TRACE    the file that records are appended to; without it there are none
 *
 * A record is one writev(2) to a file opened with O_APPEND, so records of several threads never mix, and their
 * order in the file is an order in which things happened: what is told of a write or a receive is told after it,
 * the beginning of a sync and what is sent are told before, the end of a sync after. The page cache keeps the
 * trace when the server is killed.
 *
 * What is not seen: writes through mmap (of SQLite, only the -shm file, which nobody syncs), and file
 * descriptors that were made by dup. Renames and removals need not be seen: the trace names files by their inode,
 * and folders are listed when they are synced.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define DESCRIPTORS 4096
#define LISTING 65536

/* The same as CONTROL in disk.py. Errors are numbers of errno, 0 for none. */
struct control {
    int64_t wall_offset;     /* nanoseconds that every reading of the time of day is off by */
    int32_t sync_delay;      /* microseconds that a sync takes longer than it does */
    int32_t sync_error;      /* what fsync and fdatasync fail with */
    int32_t write_error;     /* what writes fail with */
    int32_t sync_times;      /* how many syncs fail, then no more; 0 for all */
};

/* The same as RECORD in disk.py; `length` bytes follow. */
struct record {
    uint32_t kind;
    int32_t fd;
    int32_t error;
    uint32_t length;
    uint64_t offset;
    uint64_t inode;
    uint64_t time;           /* CLOCK_MONOTONIC, nanoseconds */
};

enum kind { OPENED = 1, WRITTEN, TRUNCATED, SYNC_BEGINS, SYNC_ENDS, LISTED, RECEIVED, SENDING, CLOSING };
enum use { UNKNOWN = 0, BELOW_ROOT, SOCKET };

static struct control no_control;
static volatile struct control *control = &no_control;
static char root[4096];
static size_t root_length;
static int trace = -1;
static unsigned char uses[DESCRIPTORS];
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAULTS_ROOT"), *page = getenv("FAULTS_CONTROL"), *path = getenv("FAULTS_TRACE");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (folder) {
        snprintf(root, sizeof root, "%s", folder);
        root_length = strlen(root);
    }
    if (page) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0);
        void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared == MAP_FAILED) {
            perror("FAULTS_CONTROL");
            _exit(70);
        }
        syscall(SYS_close, fd);
        control = shared;
    }
    if (path) {
        trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (trace < 0) {
            perror("FAULTS_TRACE");
            _exit(70);
        }
    }
}

/* -- the trace ------------------------------------------------------------------------------------------------ */

static void tell(enum kind kind, int fd, int error, uint64_t offset, uint64_t inode, const void *bytes, size_t length) {
    struct timespec now;
    int saved = errno;
    if (trace < 0) return;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    struct record head = {
        .kind = kind, .fd = fd, .error = error, .length = (uint32_t)length, .offset = offset, .inode = inode,
        .time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
    };
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, length}};
    if (syscall(SYS_writev, trace, parts, length ? 2 : 1) != (long)(sizeof head + length)) {
        static const char sorry[] = "the trace of a test cannot be written\n";
        syscall(SYS_write, 2, sorry, sizeof sorry - 1);
        _exit(70);
    }
    errno = saved;
}

static void use(int fd, enum use what) {
    if (0 <= fd && fd < DESCRIPTORS) uses[fd] = (unsigned char)what;
}

static int is_below_root(int fd) { return 0 <= fd && fd < DESCRIPTORS && uses[fd] == BELOW_ROOT; }

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? (uint64_t)found.st_ino : 0;
}

/* -- files ---------------------------------------------------------------------------------------------------- */

static int opened(int folder, const char *path, int flags, mode_t mode) {
    int ours = root_length && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length]);
    /* Whether it is new: an inode's number comes again once its file is gone. */
    int is_new = ours && (flags & O_CREAT) && syscall(SYS_faccessat, folder, path, F_OK) != 0;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0) use(fd, ours ? BELOW_ROOT : UNKNOWN);
    if (fd >= 0 && ours) tell(OPENED, fd, 0, (is_new ? 1 : 0) | (flags & O_TRUNC ? 2 : 0), inode_of(fd), path, strlen(path));
    return fd;
}

/* The mode is there only if a file may be made. */
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = (mode_t)va_arg(rest, int); \
        va_end(rest); \
    }

EXPORT int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
EXPORT int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
EXPORT int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

EXPORT int close(int fd) {
    if (0 <= fd && fd < DESCRIPTORS && uses[fd] != UNKNOWN) {
        tell(CLOSING, fd, 0, 0, 0, NULL, 0);
        use(fd, UNKNOWN);
    }
    return (int)syscall(SYS_close, fd);
}

static ssize_t refused(int fd, int error) {
    tell(WRITTEN, fd, error, 0, inode_of(fd), NULL, 0);
    errno = error;
    return -1;
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    if (is_below_root(fd) && control->write_error) return refused(fd, control->write_error);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (done > 0 && is_below_root(fd)) tell(WRITTEN, fd, 0, (uint64_t)offset, inode_of(fd), bytes, (size_t)done);
    return done;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

EXPORT ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_below_root(fd)) return syscall(SYS_write, fd, bytes, length);
    if (control->write_error) return refused(fd, control->write_error);
    ssize_t done = syscall(SYS_write, fd, bytes, length);
    /* Where the next write goes is where this one ended, with O_APPEND too. */
    if (done > 0) tell(WRITTEN, fd, 0, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), inode_of(fd), bytes, (size_t)done);
    return done;
}

EXPORT int ftruncate64(int fd, off64_t size) {
    int done = (int)syscall(SYS_ftruncate, fd, size);
    if (done == 0 && is_below_root(fd)) tell(TRUNCATED, fd, 0, (uint64_t)size, inode_of(fd), NULL, 0);
    return done;
}

EXPORT int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* -- syncing -------------------------------------------------------------------------------------------------- */

/* What a folder holds, as lines "INODE d|- NAME". It is read through the kernel: only names that are there now. */
static size_t list(int fd, char *text) {
    size_t length = 0;
    int again = (int)syscall(SYS_openat, fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (!folder) return 0;
    for (struct dirent *one; (one = readdir(folder));) {
        struct stat found;
        if (one->d_name[0] == '.' && (!one->d_name[1] || (one->d_name[1] == '.' && !one->d_name[2]))) continue;
        if (fstatat(fd, one->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
        char kind = S_ISDIR(found.st_mode) ? 'd' : '-';
        int more = snprintf(text + length, LISTING - length, "%llu %c %s\n", (unsigned long long)found.st_ino, kind, one->d_name);
        if (more < 0 || (size_t)more >= LISTING - length) break;
        length += (size_t)more;
    }
    closedir(folder);
    return length;
}

static int sync_now(int fd, long number) {
    struct stat found;
    if (!is_below_root(fd) || fstat(fd, &found) != 0) return (int)syscall(number, fd);
    int is_folder = S_ISDIR(found.st_mode);
    char text[LISTING];
    size_t length = is_folder ? list(fd, text) : 0;
    tell(SYNC_BEGINS, fd, 0, 0, found.st_ino, NULL, 0);
    if (control->sync_delay > 0) usleep((useconds_t)control->sync_delay);
    int error = control->sync_error;
    if (error && control->sync_times > 0 && --control->sync_times == 0) control->sync_error = 0;
    int done = error ? -1 : (int)syscall(number, fd);
    if (error) errno = error;
    tell(is_folder ? LISTED : SYNC_ENDS, fd, done == 0 ? 0 : errno, 0, found.st_ino, text, length);
    return done;
}

EXPORT int fsync(int fd) { return sync_now(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_now(fd, SYS_fdatasync); }

/* -- sockets -------------------------------------------------------------------------------------------------- */

EXPORT ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    ssize_t done = syscall(SYS_recvfrom, fd, bytes, length, flags, NULL, NULL);
    use(fd, SOCKET);
    if (done > 0 && !(flags & MSG_PEEK)) tell(RECEIVED, fd, 0, 0, 0, bytes, (size_t)done);
    return done;
}

/* Told before it is done; what the kernel did not take is told again when it is tried again, with offset 0 then:
 * a reader of the trace may see the same bytes twice, and never too late. */
EXPORT ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    tell(SENDING, fd, 0, 0, 0, bytes, length);
    return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

/* -- the time of day ------------------------------------------------------------------------------------------ */

EXPORT int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = real_clock_gettime ? real_clock_gettime(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    int64_t offset = control->wall_offset;
    if (done == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t all = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + offset;
        now->tv_sec = (time_t)(all / 1000000000);
        now->tv_nsec = (long)(all % 1000000000);
    }
    return done;
}

EXPORT time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    int done = clock_gettime(CLOCK_REALTIME, &found);
    (void)zone;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return done;
}
