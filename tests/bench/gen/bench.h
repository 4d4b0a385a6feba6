/* The load generator, whole: what `skep-bench` and `skepctl bench` run.
 *
 * One thread, one epoll, packets encoded once and patched; it shares no code with the server, so
 * that a mistake in the server's codec cannot hide itself here.  `skep-bench --help` is the manual.
 */
#ifndef SKEP_BENCH_H
#define SKEP_BENCH_H

/* Run one scenario as the command line says; argv[0] is the name shown in messages.
 * Returns an exit status: 0 measured and verified, 1 could not run (said on stderr),
 * 2 measured but messages were lost, duplicated or out of order.  Not reentrant: it owns the
 * thread until the scenario is over. */
int bench_main(int argc, char **argv);

#endif
