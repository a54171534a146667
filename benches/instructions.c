/*
 * instructions.c - a plugin for QEMU's user mode that counts the instructions of the program in it.
 *
 *   cc -O2 -shared -fPIC -o instructions.so benches/instructions.c
 *   qemu-aarch64 -plugin ./instructions.so PROGRAM 2>/dev/null
 *
 * At the program's end their number is written to the file that INSTRUCTIONS names. The declarations are those of
 * version 1 of the interface (QEMU 6.0 to 8.x); Debian has no package of its header.
 * https://www.qemu.org/docs/master/devel/tcg-plugins.html
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);

int qemu_plugin_version = 1;
static uint64_t count;

static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    enum { ADD = 0 };
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &count, qemu_plugin_tb_n_insns(block));
}

static void ended(uint64_t id, void *data) {
    const char *name = getenv("INSTRUCTIONS");
    FILE *file = name ? fopen(name, "w") : NULL;
    (void)id;
    (void)data;
    if (!file) return;
    fprintf(file, "%" PRIu64 "\n", count);
    fclose(file);
}

int qemu_plugin_install(uint64_t id, const void *info, int many, char **words) {
    (void)info;
    (void)many;
    (void)words;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
