/* A PKCS#11 module that is another one (REAL_MODULE), but for one function (HANGS_AT: its place in CK_FUNCTION_LIST, or
   `load`) that never comes back. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUNCTIONS = 68 };

/* The version, which is as wide as a pointer with what pads it, and the functions. */
static void *list[1 + FUNCTIONS];

static unsigned long hang(void) {
    for (;;)
        pause();
}

unsigned long C_GetFunctionList(void ***out) {
    const char *at = getenv("HANGS_AT");
    if (strcmp(at, "load") == 0)
        hang();
    void *module = dlopen(getenv("REAL_MODULE"), RTLD_NOW);
    unsigned long (*get)(void ***) = (unsigned long (*)(void ***))dlsym(module, "C_GetFunctionList");
    void **real;
    unsigned long failed = get(&real);
    if (failed)
        return failed;
    memcpy(list, real, sizeof list);
    list[1 + atoi(at)] = (void *)hang;
    *out = list;
    return 0;
}
