/* A disk that forgets what was not synced, between a process and the real one (LD_PRELOAD).
 *
 * POWER_CUT_DIR    the directory that lies on that disk
 * POWER_CUT_IMAGE  where the image lies: what the disk would hold if the power failed now
 * POWER_CUT_LIE    "all": syncs answer 0 and remember nothing; "wal": those of write-ahead files do
 *
 * The model, stricter than ext4 and never kinder than POSIX with one exception (2):
 * 1. The bytes of a file are durable as of its last fsync or fdatasync, its length with them.
 *    sync_file_range and close make nothing durable.
 * 2. A new file that is synced keeps the name it then has, and so do the directories above it. ext4,
 *    XFS and btrfs do the same, and RocksDB relies on it.
 * 3. Everything else about names (renames, unlinks, names of files never synced) is durable by an
 *    fsync of the directory only; until then the old names are there again after the cut, with the
 *    bytes that were last synced.
 * 4. While a sync runs, some of its bytes may be durable already: the image is written in place, and
 *    a kill may come at any time.
 * 5. What this file does not model ends the process with a line in POWER_CUT_IMAGE.unmodelled: shared
 *    writable mappings, hard links, renamed directories, descriptors of unknown origin.
 *
 * The real syncs are left out: the image is the disk. Whoever cuts the power kills the process, puts
 * the image in the place of the directory, and may add a torn part of what was appended and not synced.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES 16384
#define MAX_FDS 65536
#define MAX_NAME 512

struct file {
    ino_t ino;           /* 0: the file is gone, only its name is durable still */
    char name[MAX_NAME]; /* the durable name below the directory; empty: none */
    off_t dirty_from;    /* bytes before this one are as in the image */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[MAX_FILES];
static int file_count;
/* By descriptor: 0 not ours, -1 a directory of ours, otherwise a file's number + 1. */
static int fds[MAX_FDS];
static char root[PATH_MAX], image[PATH_MAX];
static size_t root_len;
static int lie_all, lie_wal;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void unmodelled(const char *what, const char *about) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s.unmodelled", image);
    int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) {
        dprintf(fd, "%s: %s\n", what, about);
        REAL(close)(fd);
    }
    _exit(97);
}

static void must(int holds, const char *what, const char *about) {
    if (!holds) unmodelled(what, about);
}

/* The name below the directory, or NULL when it lies elsewhere. The root itself is "". */
static const char *below(const char *path) {
    if (!root_len || strncmp(path, root, root_len) != 0) return NULL;
    if (path[root_len] == 0) return path + root_len;
    return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

static const char *name_of_fd(int fd, char out[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return NULL;
    out[length] = 0;
    return below(out);
}

static void in_root(char out[PATH_MAX], const char *name) { snprintf(out, PATH_MAX, "%s/%s", root, name); }
static void in_image(char out[PATH_MAX], const char *name) { snprintf(out, PATH_MAX, "%s/%s", image, name); }

static void make_parents(const char *path) {
    char up[PATH_MAX];
    snprintf(up, sizeof up, "%s", path);
    for (char *at = up + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(up, 0755);
        *at = '/';
    }
}

static struct file *by_ino(ino_t ino) {
    for (int n = 0; n < file_count; n++)
        if (files[n].ino == ino) return &files[n];
    return NULL;
}

static struct file *by_name(const char *name) {
    for (int n = 0; n < file_count; n++)
        if (files[n].name[0] && strcmp(files[n].name, name) == 0) return &files[n];
    return NULL;
}

static struct file *new_file(ino_t ino, const char *name) {
    struct file *file = NULL;
    for (int n = 0; n < file_count && !file; n++)
        if (!files[n].ino && !files[n].name[0]) file = &files[n];
    if (!file) {
        must(file_count < MAX_FILES, "too many files", name);
        file = &files[file_count++];
    }
    file->ino = ino;
    file->dirty_from = 0;
    snprintf(file->name, MAX_NAME, "%s", name);
    return file;
}

/* At the start the directory and the image are the same: all is durable. */
static void learn(const char *under) {
    char path[PATH_MAX], here[PATH_MAX], name[PATH_MAX];
    in_image(path, under);
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s%s%s", under, under[0] ? "/" : "", entry->d_name);
        struct stat stat_here;
        in_root(here, name);
        if (lstat(here, &stat_here) != 0) must(0, "in the image and not in the directory", name);
        if (S_ISDIR(stat_here.st_mode)) {
            learn(name);
        } else {
            new_file(stat_here.st_ino, name)->dirty_from = stat_here.st_size;
        }
    }
    closedir(dir);
}

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("POWER_CUT_DIR"), *to = getenv("POWER_CUT_IMAGE"), *lie = getenv("POWER_CUT_LIE");
    if (!dir || !to) return;
    snprintf(root, sizeof root, "%s", dir);
    snprintf(image, sizeof image, "%s", to);
    root_len = strlen(root);
    lie_all = lie && strcmp(lie, "all") == 0;
    lie_wal = lie && strcmp(lie, "wal") == 0;
    mkdir(image, 0755);
    learn("");
}

/* ---- what becomes durable ---- */

static void touch_image(const char *name) {
    char path[PATH_MAX];
    in_image(path, name);
    make_parents(path);
    int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    must(fd >= 0, "cannot make in the image", name);
    REAL(close)(fd);
}

static void move_image(const char *from, const char *to) {
    char source[PATH_MAX], target[PATH_MAX];
    in_image(source, from);
    in_image(target, to);
    make_parents(target);
    must(REAL(rename)(source, target) == 0, "cannot rename in the image", from);
}

static int lies_in(const char *name, const char *dir) {
    const char *slash = strrchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;
    return strlen(dir) == length && strncmp(name, dir, length) == 0;
}

/* Makes the names of a directory durable as they are now. */
static void sync_names(const char *dir) {
    static struct file *present[MAX_FILES];
    static char wanted[MAX_FILES][MAX_NAME];
    static char stays[MAX_FILES];
    int count = 0;
    char path[PATH_MAX];
    memset(stays, 0, sizeof stays);
    in_root(path, dir);
    DIR *open_dir = opendir(path);
    must(open_dir != NULL, "cannot list", dir);
    for (struct dirent *entry; (entry = readdir(open_dir));) {
        struct stat found;
        if (fstatat(dirfd(open_dir), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st_mode)) continue;
        char name[MAX_NAME];
        snprintf(name, sizeof name, "%.200s%s%.200s", dir, dir[0] ? "/" : "", entry->d_name);
        struct file *file = by_ino(found.st_ino);
        if (!file) file = new_file(found.st_ino, "");
        stays[file - files] = 1;
        if (strcmp(file->name, name) == 0) continue;
        present[count] = file;
        strcpy(wanted[count++], name);
    }
    closedir(open_dir);
    /* A file whose new name is the old one of another that moves too waits under a third name. */
    for (int n = 0; n < count; n++) {
        if (!present[n]->name[0]) continue;
        struct file *holder = by_name(wanted[n]);
        if (holder && holder != present[n] && stays[holder - files]) {
            char between[MAX_NAME];
            snprintf(between, sizeof between, ".moving-%d", n);
            move_image(present[n]->name, between);
            strcpy(present[n]->name, between);
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int n = 0; n < count; n++) {
            struct file *file = present[n];
            /* Renames first: a new file may have the name that another one leaves. */
            if ((file->name[0] == 0) != pass) continue;
            struct file *holder = by_name(wanted[n]);
            if (holder && holder != file) holder->name[0] = 0;
            if (file->name[0]) {
                move_image(file->name, wanted[n]);
            } else {
                touch_image(wanted[n]);
                file->dirty_from = 0;
            }
            strcpy(file->name, wanted[n]);
        }
    }
    for (int n = 0; n < file_count; n++) {
        if (!files[n].name[0] || stays[n] || !lies_in(files[n].name, dir)) continue;
        in_image(path, files[n].name);
        REAL(unlink)(path);
        files[n].name[0] = 0;
    }
}

static void sync_bytes(int fd, struct file *file) {
    char now[PATH_MAX], path[PATH_MAX], link[64];
    struct stat found, in_it;
    if (fstat(fd, &found) != 0 || found.st_nlink == 0) return;
    const char *name = name_of_fd(fd, now);
    must(name != NULL, "a file that left the directory", now);
    if (!file->name[0]) {
        if (by_name(name)) {
            const char *slash = strrchr(name, '/');
            char dir[PATH_MAX];
            snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - name) : 0, name);
            sync_names(dir);
        } else {
            must(strlen(name) < MAX_NAME, "a long name", name);
            strcpy(file->name, name);
            touch_image(name);
            file->dirty_from = 0;
        }
    }
    in_image(path, file->name);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = REAL(open)(link, O_RDONLY), to = REAL(open)(path, O_WRONLY | O_CREAT, 0644);
    must(from >= 0 && to >= 0 && fstat(to, &in_it) == 0, "cannot copy", name);
    off_t at = file->dirty_from < in_it.st_size ? file->dirty_from : in_it.st_size;
    static char buffer[1 << 16];
    for (ssize_t got; (got = pread(from, buffer, sizeof buffer, at)) > 0; at += got)
        must(REAL(pwrite)(to, buffer, got, at) == got, "cannot write the image", name);
    must(REAL(ftruncate)(to, at) == 0, "cannot cut the image", name);
    REAL(close)(from);
    REAL(close)(to);
    file->dirty_from = at;
}

static int is_wal(int fd) {
    char now[PATH_MAX];
    const char *name = name_of_fd(fd, now);
    const char *end = name ? strrchr(name, '.') : NULL;
    return end && strcmp(end, ".log") == 0;
}

static int sync_fd(int fd) {
    pthread_mutex_lock(&lock);
    char now[PATH_MAX];
    int kind = fd >= 0 && fd < MAX_FDS ? fds[fd] : 0;
    const char *name = kind <= 0 ? name_of_fd(fd, now) : NULL;
    if (kind == 0) must(name == NULL, "a sync of a descriptor of unknown origin", now);
    if (kind != 0 && !lie_all && !(lie_wal && is_wal(fd))) {
        if (kind < 0) {
            must(name != NULL, "a directory that is gone", now);
            sync_names(name);
        } else {
            sync_bytes(fd, &files[kind - 1]);
        }
    }
    pthread_mutex_unlock(&lock);
    return kind != 0;
}

int fsync(int fd) { return sync_fd(fd) ? 0 : REAL(fsync)(fd); }
int fdatasync(int fd) { return sync_fd(fd) ? 0 : REAL(fdatasync)(fd); }

/* ---- what is opened and written ---- */

static int opened(int fd, int flags) {
    if (fd < 0 || fd >= MAX_FDS || !root_len) return fd;
    int saved = errno;
    char now[PATH_MAX];
    struct stat found;
    pthread_mutex_lock(&lock);
    fds[fd] = 0;
    if (name_of_fd(fd, now) && fstat(fd, &found) == 0) {
        if (S_ISDIR(found.st_mode)) {
            fds[fd] = -1;
        } else if (S_ISREG(found.st_mode)) {
            struct file *file = by_ino(found.st_ino);
            if (!file) file = new_file(found.st_ino, "");
            if (flags & O_TRUNC) file->dirty_from = 0;
            fds[fd] = (int)(file - files) + 1;
        }
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(REAL(open)(path, flags, mode), flags); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(REAL(open)(path, flags, mode), flags); }
int openat(int dir, const char *path, int flags, ...) {
    MODE(flags) return opened(REAL(openat)(dir, path, flags, mode), flags);
}
int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags) return opened(REAL(openat)(dir, path, flags, mode), flags);
}
int __open_2(const char *path, int flags) { return opened(REAL(open)(path, flags), flags); }
int __open64_2(const char *path, int flags) { return opened(REAL(open)(path, flags), flags); }
int creat(const char *path, mode_t mode) {
    return opened(REAL(open)(path, O_WRONLY | O_CREAT | O_TRUNC, mode), O_TRUNC);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

static FILE *opened_stream(FILE *stream, const char *mode) {
    if (stream) opened(fileno(stream), mode[0] == 'w' ? O_TRUNC : 0);
    return stream;
}
FILE *fopen(const char *path, const char *mode) { return opened_stream(REAL(fopen)(path, mode), mode); }
FILE *fopen64(const char *path, const char *mode) { return opened_stream(REAL(fopen)(path, mode), mode); }

int close(int fd) {
    if (fd >= 0 && fd < MAX_FDS) fds[fd] = 0;
    return REAL(close)(fd);
}

static struct file *ours(int fd) { return fd >= 0 && fd < MAX_FDS && fds[fd] > 0 ? &files[fds[fd] - 1] : NULL; }

/* Called after the change: a sync that runs meanwhile need not have it, the next one must. */
static void dirty(int fd, off_t from) {
    struct file *file = ours(fd);
    if (!file) return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    if (from < file->dirty_from) file->dirty_from = from;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

/* What is appended lies behind the image's end and is copied anyway. */
static off_t offset(int fd) { return ours(fd) ? lseek(fd, 0, SEEK_CUR) : 0; }

ssize_t write(int fd, const void *bytes, size_t count) {
    off_t at = offset(fd);
    ssize_t result = REAL(write)(fd, bytes, count);
    if (!ours(fd) || fcntl(fd, F_GETFL) & O_APPEND) return result;
    dirty(fd, at);
    return result;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    off_t at = offset(fd);
    ssize_t result = REAL(writev)(fd, parts, count);
    if (!ours(fd) || fcntl(fd, F_GETFL) & O_APPEND) return result;
    dirty(fd, at);
    return result;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t result = REAL(pwrite)(fd, bytes, count, at);
    dirty(fd, at);
    return result;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return pwrite(fd, bytes, count, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    ssize_t result = REAL(pwritev)(fd, parts, count, at);
    dirty(fd, at);
    return result;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }
int ftruncate(int fd, off_t length) {
    int result = REAL(ftruncate)(fd, length);
    dirty(fd, length);
    return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int fallocate(int fd, int mode, off_t at, off_t length) {
    int result = REAL(fallocate)(fd, mode, at, length);
    if (mode & ~FALLOC_FL_KEEP_SIZE) dirty(fd, at);
    return result;
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t from) {
    must(!(ours(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)), "a shared writable mapping", "mmap");
    return REAL(mmap)(at, length, protection, flags, fd, from);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t from) {
    return mmap(at, length, protection, flags, fd, from);
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    must(!ours(to), "copy_file_range", "into a file of the directory");
    return REAL(copy_file_range)(from, from_at, to, to_at, length, flags);
}

/* ---- names ---- */

/* The file under a name goes; what is durable of it stays. Its inode may come again for another file. */
static void forget_inode(int dir, const char *path) {
    struct stat found;
    if (fstatat(dir, path, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st_mode) || found.st_nlink != 1) return;
    struct file *file = by_ino(found.st_ino);
    if (file) file->ino = 0;
}

static int is_ours(int dir, const char *path) {
    char whole[PATH_MAX];
    if (path[0] == '/') return below(path) != NULL;
    return dir != AT_FDCWD && name_of_fd(dir, whole) != NULL;
}

static int rename_at(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    if (!root_len || !(is_ours(from_dir, from) || is_ours(to_dir, to)))
        return REAL(renameat2)(from_dir, from, to_dir, to, flags);
    struct stat found;
    must(flags == 0 && is_ours(from_dir, from) && is_ours(to_dir, to), "a rename across the border", from);
    must(fstatat(from_dir, from, &found, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG(found.st_mode), "a renamed directory", from);
    pthread_mutex_lock(&lock);
    forget_inode(to_dir, to);
    int result = REAL(renameat2)(from_dir, from, to_dir, to, flags);
    must(result == 0, "a rename failed", from);
    pthread_mutex_unlock(&lock);
    return result;
}
int rename(const char *from, const char *to) { return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return rename_at(from_dir, from, to_dir, to, 0);
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return rename_at(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags) {
    if (!root_len || (flags & AT_REMOVEDIR) || !is_ours(dir, path)) return REAL(unlinkat)(dir, path, flags);
    pthread_mutex_lock(&lock);
    forget_inode(dir, path);
    int result = REAL(unlinkat)(dir, path, flags);
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    must(!is_ours(from_dir, from) && !is_ours(to_dir, to), "a hard link", from);
    return REAL(linkat)(from_dir, from, to_dir, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
