/* A PKCS#11 module that is another one (REAL_MODULE), but for one function (HANGS_AT: its place in CK_FUNCTION_LIST, or
   `load`) that never comes back, or with `late` closes a session late and says so. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUNCTIONS = 68 };

enum { C_CLOSE_SESSION = 13 };

static unsigned long (*close_session)(unsigned long);

/* The version, which is as wide as a pointer with what pads it, and the functions. */
static void *list[1 + FUNCTIONS];

static unsigned long hang(void) {
    for (;;)
        pause();
}

static unsigned long close_late(unsigned long session) {
    usleep(200 * 1000);
    unsigned long failed = close_session(session);
    const char said[] = "the session is closed\n";
    return write(STDERR_FILENO, said, sizeof said - 1) < 0 ? 6 : failed;
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
    if (strcmp(at, "late") == 0) {
        close_session = (unsigned long (*)(unsigned long))list[1 + C_CLOSE_SESSION];
        list[1 + C_CLOSE_SESSION] = (void *)close_late;
    } else {
        list[1 + atoi(at)] = (void *)hang;
    }
    *out = list;
    return 0;
}
