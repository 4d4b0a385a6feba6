#include "ctl/prompt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Takes one line off the stream, without its end, and puts a NUL behind it. */
static int read_line(struct bytes *out, FILE *file, struct fault *fault)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len = getline(&line, &size, file);

    if (len < 0) {
        free(line);
        return fault_set(fault, "there is no line to read");
    }
    if (len > 0 && line[len - 1] == '\n')
        len--;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    bytes_add(out, line, (size_t)len);
    bytes_add(out, "", 1);
    explicit_bzero(line, size);
    free(line);
    return 0;
}

/* Ends the wait for a line, so that echo is back on before the signal takes effect. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

int prompt_password(struct bytes *out, const char *question, struct fault *fault)
{
    FILE *terminal = fopen("/dev/tty", "r+e");
    struct sigaction catch = {.sa_handler = on_signal}, before_int;
    struct termios before, quiet;
    int fd, err;

    if (!terminal) {
        fault_set(fault, "there is no terminal to ask on");
        return -1;
    }
    setvbuf(terminal, NULL, _IONBF, 0);
    fd = fileno(terminal);
    if (tcgetattr(fd, &before) < 0) {
        fclose(terminal);
        return fault_set(fault, "the terminal's echo cannot be switched off: %s", strerror(errno));
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    interrupted = 0;
    sigaction(SIGINT, &catch, &before_int);
    tcsetattr(fd, TCSAFLUSH, &quiet);
    fputs(question, terminal);
    err = read_line(out, terminal, fault);
    tcsetattr(fd, TCSAFLUSH, &before);
    sigaction(SIGINT, &before_int, NULL);
    fputs("\n", terminal);
    fclose(terminal);
    if (interrupted)
        raise(interrupted);
    return err;
}

int prompt_first_line(struct bytes *out, const char *path, struct fault *fault)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    int err;

    if (!file)
        return fault_set(fault, "%s: %s", path, strerror(errno));
    err = read_line(out, file, fault);
    if (file != stdin)
        fclose(file);
    return err;
}
