// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Evidence: which functions were called, and who called each of them first. Only in kernels with CONFIG_FUNCTION_TRACER; it stands behind lightvm.c in
 * the same file. PID 1 writes a byte to /proc/lightvm-evidence in the process that is about to execute the program; what that process and its children do
 * from then on is the program's. It reads the file at the end.
 */
#include <linux/bitmap.h>
#include <linux/ftrace.h>
#include <linux/hash.h>
#include <linux/preempt.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/threads.h>
#include <asm/syscall.h>
#include <trace/events/sched.h>

#define EVIDENCE_BITS 14 /* general has some 30000 functions, of which a run calls a tenth */
#define EVIDENCE_SLOTS (1u << EVIDENCE_BITS)

enum evidence_phase {
	EVIDENCE_BOOT,	  /* until the program's execve has succeeded */
	EVIDENCE_PROGRAM, /* its processes, in their system calls and faults */
	EVIDENCE_OTHER,	  /* since then: interrupts, threads of the kernel, PID 1 and its agent */
	EVIDENCE_PHASES,
};

static struct evidence {
	unsigned long function; /* 0: a free slot */
	int call;		/* number of the system call, -1: none */
	char comm[TASK_COMM_LEN];
} evidence[EVIDENCE_PHASES][EVIDENCE_SLOTS];

static unsigned long evidence_lost;
static pid_t evidence_armed; /* the process whose next execve begins the program */
static bool evidence_begun;
static DECLARE_BITMAP(evidence_processes, PID_MAX_DEFAULT + 1);

static bool notrace evidence_has(pid_t process)
{
	return process <= PID_MAX_DEFAULT && test_bit(process, evidence_processes);
}

static void notrace evidence_fill(struct evidence *slot, unsigned long function)
{
	slot->call = current->flags & PF_KTHREAD || !in_task() ? -1 : syscall_get_nr(current, current_pt_regs());
	memcpy(slot->comm, current->comm, sizeof(slot->comm));
	slot->function = function;
}

static void notrace evidence_add(enum evidence_phase phase, unsigned long function)
{
	unsigned int at = hash_long(function, EVIDENCE_BITS), tries;

	for (tries = 0; tries < EVIDENCE_SLOTS; tries++, at = (at + 1) % EVIDENCE_SLOTS) {
		struct evidence *slot = &evidence[phase][at];

		if (slot->function == function)
			return;
		if (!slot->function) {
			evidence_fill(slot, function);
			return;
		}
	}
	evidence_lost++;
}

static void notrace evidence_called(unsigned long function, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *regs)
{
	enum evidence_phase phase = EVIDENCE_BOOT;

	if (evidence_begun)
		phase = in_task() && evidence_has(current->tgid) ? EVIDENCE_PROGRAM : EVIDENCE_OTHER;
	evidence_add(phase, function);
}

static struct ftrace_ops evidence_ops = { .func = evidence_called };

/* ---- whose calls they are ---- */

static void evidence_fork(void *data, struct task_struct *parent, struct task_struct *child)
{
	if (child->tgid > PID_MAX_DEFAULT || child->tgid == parent->tgid)
		return;
	assign_bit(child->tgid, evidence_processes, evidence_has(parent->tgid));
}

static void evidence_exec(void *data, struct task_struct *task, pid_t old, struct linux_binprm *bprm)
{
	if (!evidence_armed || task->tgid != evidence_armed || task->tgid > PID_MAX_DEFAULT)
		return;
	evidence_armed = 0;
	set_bit(task->tgid, evidence_processes);
	evidence_begun = true;
}

static ssize_t evidence_write(struct file *file, const char __user *buffer, size_t size, loff_t *at)
{
	if (!evidence_begun)
		evidence_armed = current->tgid;
	return size;
}

/* ---- reading it ---- */

#define EVIDENCE_END (EVIDENCE_PHASES * EVIDENCE_SLOTS + 1) /* behind the heading and all slots */

static void *evidence_start(struct seq_file *file, loff_t *at)
{
	return *at <= EVIDENCE_END ? at : NULL;
}

static void *evidence_next(struct seq_file *file, void *item, loff_t *at)
{
	++*at;
	return evidence_start(file, at);
}

static void evidence_stop(struct seq_file *file, void *item)
{
}

/* One word, whatever a process calls itself. */
static void evidence_name(struct seq_file *file, const char *name)
{
	int i;

	for (i = 0; i < TASK_COMM_LEN && name[i]; i++)
		seq_putc(file, name[i] > ' ' && name[i] < 127 ? name[i] : '?');
	seq_puts(file, i ? "\n" : "?\n");
}

static int evidence_show(struct seq_file *file, void *item)
{
	static const char *const phases[] = { "boot", "program", "other" };
	loff_t at = *(loff_t *)item;
	const struct evidence *slot = at && at < EVIDENCE_END ? &evidence[(at - 1) / EVIDENCE_SLOTS][(at - 1) % EVIDENCE_SLOTS] : NULL;

	if (!at)
		seq_printf(file, "lightvm-evidence 1 lost %lu\n", evidence_lost);
	else if (!slot)
		seq_puts(file, "end\n");
	else if (slot->function) {
		seq_printf(file, "%s %lx %ps %d ", phases[(at - 1) / EVIDENCE_SLOTS], slot->function, (void *)slot->function, slot->call);
		evidence_name(file, slot->comm);
	}
	return 0;
}

static const struct seq_operations evidence_lines = { .start = evidence_start, .next = evidence_next, .stop = evidence_stop, .show = evidence_show };

static int evidence_open(struct inode *inode, struct file *file)
{
	return seq_open(file, &evidence_lines);
}

static const struct proc_ops evidence_file = {
	.proc_open = evidence_open,
	.proc_read = seq_read,
	.proc_write = evidence_write,
	.proc_lseek = seq_lseek,
	.proc_release = seq_release,
};

/* From here on: what is called before the first initcalls every kernel has. */
static int __init evidence_begin(void)
{
	return register_ftrace_function(&evidence_ops);
}
early_initcall(evidence_begin);

static int __init evidence_offer(void)
{
	int err = register_trace_sched_process_fork(evidence_fork, NULL);

	if (!err)
		err = register_trace_sched_process_exec(evidence_exec, NULL);
	if (!err && !proc_create("lightvm-evidence", 0600, NULL, &evidence_file))
		err = -ENOMEM;
	return err;
}
late_initcall(evidence_offer);
