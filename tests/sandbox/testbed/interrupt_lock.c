/* Loaded into the test bed's QEMU (LD_PRELOAD). QEMU 7.2's emulation of AMD SVM raises a virtual interrupt of a nested guest
 * without the lock that this takes: when the guest writes CR8 while an interrupt waits, as UEFI does at the end of each of its
 * interrupts, an assertion ends the emulator. So the lock is taken here, around QEMU's own function, when it is not held.
 *
 * The function is one of a module that QEMU loads (accel-tcg-x86_64.so), which is how it can be replaced. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* QEMU's. */
extern bool qemu_mutex_iothread_locked(void) __attribute__((weak));
extern void qemu_mutex_lock_iothread_impl(const char *file, int line) __attribute__((weak));
extern void qemu_mutex_unlock_iothread(void) __attribute__((weak));

typedef void (*handler)(void *cpu, int mask);

static int find(struct dl_phdr_info *info, size_t size, void *result)
{
    (void)size;
    if (strstr(info->dlpi_name, "/accel-tcg-") == NULL)
        return 0;
    void *module = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    *(handler *)result = module != NULL ? (handler)dlsym(module, "tcg_handle_interrupt") : NULL;
    return 1;
}

void tcg_handle_interrupt(void *cpu, int mask)
{
    static handler original; /* the same for whoever comes first */
    if (original == NULL)
        dl_iterate_phdr(find, &original);
    if (original == NULL)
        abort();
    const bool locked = qemu_mutex_iothread_locked();
    if (!locked)
        qemu_mutex_lock_iothread_impl(__FILE__, __LINE__);
    original(cpu, mask);
    if (!locked)
        qemu_mutex_unlock_iothread();
}
