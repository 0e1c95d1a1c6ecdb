/* SPDX-License-Identifier: Apache-2.0 */
#include "proc_world.h"

void *malloc(size_t);
void free(void *);
void *calloc(size_t, size_t);

struct lv_device_page test_device_page;
struct lv_shared test_shared_page;
struct thread world_thread[3];
struct thread *current = &world_thread[0], *threads = &world_thread[0];
int thread_count = 3;
struct process world_process = { .pid = 1, .group = 1, .session = 1, .thread_count = 3 }, *processes = &world_process;
struct regs world_regs;
jmp_buf world_end;
int world_exit_status = -1;
char world_stack[1 << 16] __attribute__((aligned(64)));
int (*world_while_waiting)(uint64_t deadline);

static uint64_t xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low | (uint64_t)high << 32) & 7; /* x87, SSE, AVX */
}

void world_reset(uint64_t nr)
{
	struct sigaction_k none = {0};

	current = &world_thread[0];
	if (!world_process.interval_timers[0].process)
		timers_start(&world_process);
	for (int i = 0; i < 3; i++)
		world_thread[i].process = &world_process;
	for (int i = 0; i < 3; i++)
		signal_thread_exit(&world_thread[i]); /* frees what is queued */
	for (int i = 0; i < 3; i++)
		world_thread[i] = (struct thread){
			.tid = i + 1, .process = &world_process, .regs = &world_regs, .next = i < 2 ? &world_thread[i + 1] : NULL,
			.prev = i ? &world_thread[i - 1] : NULL, .sig_blocked = i ? ~0ull : 0,
		};
	struct siginfo_k info;

	while (signal_take(~0ull, &info))
		;
	for (int i = 1; i <= SIG_MAX; i++)
		signal_action_set(i, &none);
	test_device_page.xcr0 = xcr0();
	test_device_page.xsave_size = 832;
	test_device_page.tsc_mult = 1ull << 32;
	world_regs = (struct regs){ .rip = 0x401002, .rsp = (uint64_t)world_stack + sizeof(world_stack) - 256, .rflags = 0x246,
				    .orig_rax = nr, .rbx = 0xb, .r15 = 0xf };
	world_exit_status = -1;
	world_note[0] = 0;
	world_while_waiting = NULL;
	test_shared_page.signals = 0;
}

int wait_here(uint64_t deadline)
{
	if (signal_pending())
		return -EINTR;
	return world_while_waiting ? world_while_waiting(deadline) : -ETIMEDOUT;
}

int wait_till(struct deadline deadline)
{
	uint64_t now = clock_monotonic(), shown = clock_show(deadline.clock);

	return wait_here(deadline.at ? now + (deadline.at - shown) : 0);
}

int wait_on(struct waitq *queue, uint64_t deadline)
{
	return wait_here(deadline);
}

int wake_many(struct waitq *queue, int most, uint32_t events)
{
	return 0;
}

void thread_wake(struct thread *thread)
{
	thread->woken = true;
}

uint64_t mm_shared_word(uaddr_t at);
uint64_t mm_shared_word(uaddr_t at)
{
	return 0;
}

bool capable(int capability)
{
	return true;
}

bool process_lets_look(const struct process *process)
{
	return process == current->process;
}

struct process *process_find(int pid)
{
	return pid == world_process.pid ? &world_process : NULL;
}

struct process *pidfd_process(int fd)
{
	return NULL;
}

int pidfd_or_directory(int fd, struct process **process)
{
	*process = pidfd_process(fd);
	return *process ? 0 : -EBADF;
}

bool process_group_is_orphaned(int group)
{
	return true;
}

bool thread_must_end(const struct thread *thread)
{
	return false;
}

void thread_exit(void)
{
	longjmp(world_end, 1);
}

void process_end(struct process *process, int wait_status)
{
	process_exit(wait_status);
}

void process_stop(int signo)
{
	current->process->signals.stopped = true;
}

void process_continue(struct process *process)
{
	process->signals.stopped = false;
}

struct process *process_first(void)
{
	return &world_process;
}

struct thread *thread_find(int tid)
{
	return tid >= 1 && tid <= 3 ? &world_thread[tid - 1] : NULL;
}

char world_note[256];

void console_note(const char *text)
{
	snprintf(world_note, sizeof(world_note), "%s", text);
}

void process_exit(int wait_status)
{
	world_exit_status = wait_status;
	longjmp(world_end, 1);
}

void crash_program(const struct regs *regs, int signo, uint64_t vector, uint64_t error, uint64_t cr2)
{
	process_exit(1000 + signo);
}

void *kmalloc(size_t size)
{
	return malloc(size);
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

int process_id(void)
{
	return 1;
}

const struct credentials *credentials(void)
{
	static const struct credentials root;

	return &root;
}

uint64_t process_limit(int resource)
{
	return resource == RLIMIT_SIGPENDING ? SIG_QUEUE_MAX : ~0ull;
}
