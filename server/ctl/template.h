/* The files of a new module, out of sdk/template (embedded when skepctl is built). */
#ifndef SKEP_CTL_TEMPLATE_H
#define SKEP_CTL_TEMPLATE_H

/* In both, the word that begins the name ("module") and @NAME@ stand for the module's. */
struct template_file {
    const char *name, *text;
};

extern const struct template_file template_files[];
extern const unsigned template_file_count;

#endif
