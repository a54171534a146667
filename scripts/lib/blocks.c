/*
 * blocks.c - a plugin for QEMU's user mode that records which code of the program in it runs, in stretches of time.
 *
 *   cc -O2 -shared -fPIC -o blocks.so scripts/lib/blocks.c
 *   BLOCKS=DIR/NAME qemu-aarch64 -plugin ./blocks.so PROGRAM
 *
 * Whenever a file DIR/NAME.now exists at a system call, the plugin renames it to DIR/NAME after it has written to it, for each
 * block that ran since the last time, how far it is from the program's first instruction, and how often it ran. The declarations are those of version 1
 * of the interface (QEMU 6.0 to 8.x); Debian has no package of its header.
 * https://www.qemu.org/docs/master/devel/tcg-plugins.html
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct qemu_plugin_tb;
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(uint64_t, void (*)(uint64_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                                    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

int qemu_plugin_version = 1;

enum { MOST = 1 << 20 };
static struct { uint64_t address, count; } blocks[MOST];
static size_t known;
static char now[4096], done[4096];
static pid_t first;

static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    enum { ADD = 0 };
    (void)id;
    if (known == MOST) return;
    blocks[known].address = qemu_plugin_tb_vaddr(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &blocks[known++].count, 1);
}

static void called(uint64_t id, unsigned cpu, int64_t call, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f, uint64_t g, uint64_t h) {
    FILE *file;
    (void)id, (void)cpu, (void)call, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (getpid() != first || access(now, F_OK) || !(file = fopen(now, "w"))) return;
    for (size_t i = 0; i < known; i++) {
        if (blocks[i].count) fprintf(file, "%" PRId64 " %" PRIu64 "\n", (int64_t)(blocks[i].address - blocks[0].address), blocks[i].count);
        blocks[i].count = 0;
    }
    fclose(file);
    rename(now, done);
}

int qemu_plugin_install(uint64_t id, const void *info, int many, char **words) {
    const char *name = getenv("BLOCKS");
    (void)info, (void)many, (void)words;
    if (!name) return 1;
    first = getpid();
    snprintf(now, sizeof now, "%s.now", name);
    snprintf(done, sizeof done, "%s", name);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
