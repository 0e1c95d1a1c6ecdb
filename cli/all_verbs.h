/* SPDX-License-Identifier: Apache-2.0 */
/* Where the verbs are defined: one file a family. */
#ifndef LV_CLI_ALL_VERBS_H
#define LV_CLI_ALL_VERBS_H

#include "cli/verb.h"

extern const struct verb verb_run, verb_create;                      /* run.c */
extern const struct verb verb_start, verb_restart;                   /* start.c */
extern const struct verb verb_pause, verb_resume, verb_unpause;      /* pausing.c */
extern const struct verb verb_save, verb_restore;                    /* saving.c */
extern const struct verb verb_checkpoint;                            /* cli_checkpoint.c */
extern const struct verb verb_clone;                                 /* cloning.c */
extern const struct verb verb_rename;                                /* rename.c */
extern const struct verb verb_ps;                                    /* ps.c */
extern const struct verb verb_logs, verb_console;                    /* logs.c */
extern const struct verb verb_stop, verb_kill, verb_rm;              /* stop.c */
extern const struct verb verb_prune;                                 /* prune.c */
extern const struct verb verb_stats;                                 /* stats.c */
extern const struct verb verb_top;                                   /* top.c */
extern const struct verb verb_update;                                /* update.c */
extern const struct verb verb_capacity;                              /* capacity.c */
extern const struct verb verb_port;                                  /* port.c */
extern const struct verb verb_wait;                                  /* wait.c */
extern const struct verb verb_balloon;                               /* balloon.c */
extern const struct verb verb_exec;                                  /* exec.c */
extern const struct verb verb_cp;                                    /* cp.c */
extern const struct verb verb_events;                                /* cli_events.c */
extern const struct verb verb_inspect;                               /* inspect.c */
extern const struct verb verb_boot_time;                             /* inspect.c */
extern const struct verb verb_image;                                 /* image.c */
extern const struct verb verb_image_files, verb_image_diff;          /* cli_image_tree.c */
extern const struct verb verb_image_trim;                            /* cli_image_trim.c */
extern const struct verb verb_image_save, verb_image_load;           /* cli_image_archive.c */
extern const struct verb verb_pull, verb_tag, verb_rmi, verb_image_history, verb_image_prune; /* cli_names.c */
extern const struct verb verb_images;                                /* cli_image.c */
extern const struct verb verb_volume;                                /* cli_volume.c */
extern const struct verb verb_kernel;                                /* kernel.c */
extern const struct verb verb_kernel_explain, verb_kernel_diff;       /* cli_kernel_explain.c, below it */
extern const struct verb verb_kernel_specialise;                      /* cli_kernel_specialise.c */
extern const struct verb verb_pool;                                  /* cli_pool.c */
extern const struct verb verb_service;                              /* cli_service.c */
extern const struct verb verb_migrate;                               /* cli_migrate.c */
extern const struct verb verb_host;                                  /* cli_host.c */
extern const struct verb verb_daemon;                                /* cli_daemon.c */
extern const struct verb verb_daemon_page;                           /* daemon_page.c, below it */
extern const struct verb verb_doctor;                                /* doctor.c */
extern const struct verb verb_version, verb_completion, verb_man;    /* self.c */

#endif
