/* Modules that are wrong in one respect, by definitions: see CMakeLists.txt. */
#include <skep/module.h>

#ifndef ODD_MAJOR
#define ODD_MAJOR SKEP_ABI_MAJOR
#endif
#ifndef ODD_SIZE
#define ODD_SIZE sizeof(struct skep_descriptor)
#endif
#ifndef ODD_OPTION
#define ODD_OPTION "limit"
#endif
#ifndef ODD_DEFAULT
#define ODD_DEFAULT "1"
#endif

struct conf {
    uint32_t limit;
};

static const struct skep_option options[] = {
    {.name = ODD_OPTION,
     .type = SKEP_TYPE_UINT,
     .offset = offsetof(struct conf, limit),
     .width = sizeof(uint32_t),
     .fallback = ODD_DEFAULT,
     .help = "a number"},
    {0},
};

#ifdef ODD_NEWER
int skep_from_the_future(void);

static void use(void *self, void *previous)
{
    (void)self;
    (void)previous;
    skep_from_the_future();
}
#elif defined ODD_UNLINKED
int some_library_function(void);

static void use(void *self, void *previous)
{
    (void)self;
    (void)previous;
    some_library_function();
}
#else
static void use(void *self, void *previous)
{
    (void)self;
    (void)previous;
}
#endif

/* The host must not look at what a descriptor of this size does not have. */
static void never(const struct skep_event *event, void *self)
{
    (void)event;
    (void)self;
    __builtin_trap();
}

SKEP_MODULE = {
    .size = ODD_SIZE,
    .abi_major = ODD_MAJOR,
    .abi_minor = SKEP_ABI_MINOR,
    .name = ODD_NAME,
    .version = "1",
    .summary = "is odd",
    .conf_size = sizeof(struct conf),
    .options = options,
    .events = UINT64_MAX,
    .start = use,
    .on_event = never,
};
