/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/save_job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "vmm/state/pager.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/throttle.h"
#include "vmm/state/vm_saved.h"
#include "vmm/vm_state.h"

#define AGAIN_NS (100 * NS_PER_MS) /* until it is seen that nobody else has its disks any more */

static void take_turn(void *context);
static void try_again(void *context);

void save_init(struct save_job *job, struct vm *vm, int (*pause)(struct vm *vm), int (*resume)(struct vm *vm, bool advance))
{
	*job = (struct save_job){ .vm = vm, .pause = pause, .resume = resume, .pagemap = -1, .state = -1, .memory = -1, .track = RAM_TRACK_NONE, .turn = { .fire = take_turn, .context = job },
				  .again = { .fire = try_again, .context = job } };
	throttle_init(&job->throttle, vm);
}

/* The kernel shows physical frame numbers to whoever holds a descriptor that was opened with CAP_SYS_ADMIN: for the moment we have no capability. */
static int open_without_rights(const char *path)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct has[2], less[2];

	if (syscall(SYS_capget, &header, has) < 0)
		return -1;
	memcpy(less, has, sizeof(less));
	less[0].effective = less[1].effective = 0;
	if (syscall(SYS_capset, &header, less) < 0)
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	syscall(SYS_capset, &header, has); /* what is permitted can be had again; the jail says if it cannot */
	return fd;
}

void save_open(struct save_job *job)
{
	if (job->pagemap < 0)
		job->pagemap = open_without_rights("/proc/self/pagemap");
}

static void close_files(struct save_job *job)
{
	loop_timer_set(&job->vm->loop, &job->turn, 0);
	if (job->state >= 0)
		close(job->state);
	if (job->memory >= 0)
		close(job->memory);
	job->state = job->memory = -1;
	if (job->file)
		ram_file_end(job->file);
	free(job->file);
	job->file = NULL;
	job->writes = false;
}

/* ---- the end ---- */

/* Where others have its disks it stands still: they may be the VM itself, at another host. */
static void let_go(struct save_job *job, bool stays)
{
	close_files(job);
	job->stays = stays;
	job->waits = job->lent && devices_lend(&job->vm->devices, false);
	if (job->waits) {
		loop_timer_set(&job->vm->loop, &job->again, clock_now() + AGAIN_NS);
		return;
	}
	job->lent = job->active = false;
	if (!stays)
		job->resume(job->vm, false);
}

static void try_again(void *context)
{
	struct save_job *job = context;

	if (job->waits)
		let_go(job, job->stays);
}

int save_take_back(struct save_job *job)
{
	if (job->waits)
		let_go(job, job->stays);
	return job->active ? -EBUSY : 0;
}

int save_lend(struct save_job *job, struct error *error)
{
	if (!job->active || job->writes || job->state >= 0) /* it is only being stopped */
		return error_set(error, -EINVAL, "it does not stand still, with all of it written");
	job->lent = true; /* also where only some were: before it goes on it has to have them all */
	int err = devices_lend(&job->vm->devices, true);
	return err ? error_set(error, err, "its disks cannot be let go: %s", strerror(-err)) : 0;
}

static void end_looking(struct save_job *job)
{
	throttle_set(&job->throttle, 0);
	close_files(job);
	ram_track_close(&job->track);
	job->looks = false;
}

/* Written, or not: the files are not touched any more. */
static void finish(struct save_job *job, const struct error *error)
{
	close_files(job);
	if (error->code && job->active)
		let_go(job, job->stays);
	if (error->code && job->looks)
		end_looking(job);
	control_saved(&job->vm->control, error->code, error->text);
}

void save_over(struct save_job *job, bool stays)
{
	if (job->active)
		let_go(job, stays || job->stays);
	if (job->looks) /* which takes its time: it runs by then */
		end_looking(job);
}

/* ---- writing ---- */

static int write_state(struct save_job *job, struct error *error)
{
	void *bytes = NULL;
	size_t size = 0;
	int err = vm_saved_write(job->vm, &bytes, &size, error);

	if (err)
		return err;
	ssize_t n = pwrite(job->state, bytes, size, 0);
	int why = n < 0 ? errno : ENOSPC;
	free(bytes);
	return n == (ssize_t)size ? 0 : error_set(error, -why, "the file for the state: %s", strerror(why));
}

static int refuse_file(int err, struct error *error)
{
	if (err == -E2BIG)
		return error_set(error, err, "its memory has changed in more than %u places: too many for a difference; save the whole", RAM_RUNS_MOST);
	return err ? error_set(error, err, "the file for the memory: %s", strerror(-err)) : 0;
}

/* A slice in each turn of the loop: what else it has to do comes in between. */
static void write_more(struct save_job *job)
{
	struct error error = { 0 };
	int more = ram_file_step(job->file);

	if (more < 0)
		refuse_file(more, &error);
	else if (more)
		loop_timer_set(&job->vm->loop, &job->turn, clock_now());
	if (more <= 0)
		finish(job, &error);
}

static int begin_file(struct save_job *job)
{
	const struct mem *mem = &job->vm->mem;

	if (job->looks)
		return ram_file_begin_look(job->file, mem, job->pagemap, job->memory, &job->track);
	return (job->difference ? ram_file_begin_difference : ram_file_begin)(job->file, mem, job->pagemap, job->memory);
}

/* Of one that stands still the state as well. */
static int start_writing(struct save_job *job, struct error *error)
{
	job->file = calloc(1, sizeof(*job->file));
	if (!job->file)
		return error_set(error, -ENOMEM, "no memory to look at the guest's");
	int err = job->active ? write_state(job, error) : 0;
	return err ? err : refuse_file(begin_file(job), error);
}

static void begin_writing(struct save_job *job, int result)
{
	struct error error = { 0 };

	job->writes = true;
	if (result)
		error_set(&error, result, "the VM could not be stopped: %s", strerror(-result));
	else
		start_writing(job, &error);
	if (error.code)
		finish(job, &error);
	else
		write_more(job);
}

void save_stopped(struct save_job *job, int result)
{
	if (job->active && !job->writes && job->state >= 0)
		begin_writing(job, result);
}

static void take_turn(void *context)
{
	struct save_job *job = context;

	if (job->writes)
		write_more(job);
	else
		begin_writing(job, 0);
}

/* ---- the beginning ---- */

static int check_file(int fd, const char *what, struct error *error)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size)
		return error_set(error, -EINVAL, "the file for the %s is no regular one that is empty", what);
	return (flags & O_ACCMODE) == O_RDWR && !(flags & O_APPEND) ? 0 : error_set(error, -EBADF, "the file for the %s is not open for reading and writing", what);
}

/* All that was written since a restore is the VM's own, and known by it; of no other time it is known. So base has to be the very file that lies behind its memory. */
static int check_base(const struct vm *vm, int base, struct error *error)
{
	struct stat here, there;

	if (!vm->restored)
		return error_set(error, -EOPNOTSUPP, "it was not restored from a saved VM, so that it is not known what changed since one");
	if (fstat(vm->config->memory_fd, &here) < 0 || fstat(base, &there) < 0)
		return error_set(error, -EBADF, "the files of the saved VM: %s", strerror(errno));
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino ? 0 : error_set(error, -ESTALE, "it was not restored from that saved VM, but from another one, or a copy of it");
}

static int check_what(const struct vm *vm, int base, int64_t what, struct error *error)
{
	if (what & ~(int64_t)LV_SAVE_DIRTY_ONLY)
		return error_set(error, -EINVAL, "it is not known what %#llx asks for", (unsigned long long)what);
	if (!what != (base < 0))
		return error_set(error, -EINVAL, what ? "the memory that it was restored from did not come" : "a third file came, and all is to be saved");
	return what ? check_base(vm, base, error) : 0;
}

/* again: by who looks at it. */
static int check_request(const struct save_job *job, const int fd[2], bool again, struct error *error)
{
	if (job->active || (job->looks && !again))
		return error_set(error, -EBUSY, "it is being saved already");
	if (pager_waits(job->vm->pager))
		return error_set(error, -EAGAIN, "its memory is still on its way from another host");
	if (!job->vm->guest->save)
		return error_set(error, -EOPNOTSUPP, "a VM of this kind (%s) cannot be saved yet", job->vm->guest->name);
	if (devices_find(&job->vm->devices, LV_DEV_FS))
		return error_set(error, -EOPNOTSUPP, "a live volume cannot be saved: what the VM has open there would not be there again; --copy gives it a copy");
	if (job->pagemap < 0)
		return error_set(error, -EOPNOTSUPP, "the host has no /proc/self/pagemap, which tells the pages of the guest");
	int err = check_file(fd[0], "state", error);
	return err ? err : check_file(fd[1], "memory", error);
}

static void stop(struct save_job *job)
{
	job->active = true;
	job->stays = job->vm->pausing || job->vm->status.record.state == LV_STATE_PAUSED;
	if (job->pause(job->vm) == 0)
		loop_timer_set(&job->vm->loop, &job->turn, clock_now());
}

int save_begin(struct save_job *job, const int fd[3], int64_t what, struct error *error)
{
	int err = check_request(job, fd, false, error);

	if (!err)
		err = check_what(job->vm, fd[2], what, error);
	if (err)
		return err;
	job->difference = fd[2] >= 0;
	if (fd[2] >= 0) /* it was only to be compared */
		close(fd[2]);
	job->state = fd[0];
	job->memory = fd[1];
	stop(job);
	return 1;
}

/* ---- looking at one that runs ---- */

static int check_look(const struct save_job *job, const int fd[2], bool again, int64_t what, struct error *error)
{
	int err = check_request(job, fd, again, error);

	if (err)
		return err;
	if (what & ~(LV_LOOK_LAST | LV_LOOK_THROTTLE(0xff)) || what >> 8 > THROTTLE_MOST || (what & LV_LOOK_LAST && what >> 8))
		return error_set(error, -EINVAL, "it is not known what %#llx asks for", (unsigned long long)what);
	return what & LV_LOOK_LAST && !job->looks ? error_set(error, -EINVAL, "the first look cannot be the last") : 0;
}

static int start_looking(struct save_job *job, struct error *error)
{
	int err = job->looks ? 0 : ram_track_open(&job->track);

	if (!err) {
		job->looks = true;
		return 0;
	}
	ram_track_close(&job->track);
	return error_set(error, err, "the host's kernel does not tell what is written while it runs: Linux 6.7 is the first that does");
}

int save_look(struct save_job *job, const int fd[2], bool again, int64_t what, struct error *error)
{
	int err = check_look(job, fd, again, what, error);

	if (!err)
		err = start_looking(job, error);
	if (err)
		return err;
	job->difference = false;
	job->state = fd[0];
	job->memory = fd[1];
	throttle_set(&job->throttle, (unsigned)(what >> 8));
	/* In a turn of its own: one that fails at once, too, has who asked for it hold nothing any more, and be told so. */
	if (what & LV_LOOK_LAST)
		stop(job);
	else
		loop_timer_set(&job->vm->loop, &job->turn, clock_now());
	return 1;
}
