#include "front/figures.h"

#include "front/storage.h"

static void gauge(const struct metric_out *out, const char *name, const char *help, double value)
{
    metric_value(out, SKEP_GAUGE, name, help, "", value);
}

static void counter(const struct metric_out *out, const char *name, const char *help,
                    uint64_t value)
{
    metric_value(out, SKEP_COUNTER, name, help, "", (double)value);
}

void figures_store(void *storage, const struct metric_out *out)
{
    struct server_store_stats s;

    storage_stats(storage, &s);
    gauge(out, "skep_store_log_bytes", "Bytes of the log that no checkpoint has yet",
          (double)s.log_bytes);
    gauge(out, "skep_store_unsettled_bytes", "Of them, what may not be acknowledged yet",
          (double)s.unsettled_bytes);
    gauge(out, "skep_store_unsynced_bytes", "Of them, what is not known to be on the disk",
          (double)s.unsynced_bytes);
    gauge(out, "skep_store_segments", "Files of the log in use", s.segments);
    gauge(out, "skep_store_spare_segments", "Files of the log kept ready", s.spare_segments);
    counter(out, "skep_store_checkpoints_total", "Checkpoints made", s.checkpoints);
    counter(out, "skep_store_checkpoint_failures_total", "Checkpoints that failed",
            s.checkpoint_failures);
    counter(out, "skep_store_syncs_total", "Times that the log was made to reach the disk",
            s.syncs);
    counter(out, "skep_store_write_failures_total", "Writes of the log that failed",
            s.write_failures);
    gauge(out, "skep_store_refusing", "1 while the disk takes nothing", s.refusing);
}
