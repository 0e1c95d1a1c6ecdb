/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines from outside (abi/agent.h): each brings a program, which is started as a process that nobody has made, and is the other end of its descriptor 3 then.
 * Bytes are passed on between that socket and the monitor whenever the scheduler looks.
 */
#include "abi/agent.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

#define ORDER 3
#define ROOM (4096u << ORDER) /* bytes under way in each direction */

struct way { /* one direction */
	char *data; /* [from, to) is under way */
	uint32_t from, to;
	bool may;   /* the monitor's side may have, or take, more */
	bool ended;
};

struct line {
	struct file *socket; /* our end; NULL: the program is not there yet */
	struct file *theirs; /* until the process has it */
	struct inode *program;
	struct lv_agent_program head;
	uint32_t head_size;
	uint64_t size; /* of the program, so far */
	struct way in, out; /* from and to the monitor */
};

static struct line *line[LV_AGENT_LINES] SELDOM_USED;

static int64_t call(uint64_t what, unsigned number, void *data, size_t size)
{
	shared_page->arg[1] = (uint64_t)data;
	shared_page->arg[2] = size;
	return hypercall(LV_HC_AGENT, what | (uint64_t)number << 8);
}

static void line_free(unsigned number)
{
	struct line *l = line[number];

	line[number] = NULL;
	if (l->socket)
		file_put(l->socket);
	if (l->theirs)
		file_put(l->theirs);
	if (l->program)
		inode_put(l->program);
	if (l->in.data)
		page_free(l->in.data, ORDER);
	if (l->out.data)
		page_free(l->out.data, ORDER);
	kfree(l);
}

static void line_close(unsigned number)
{
	call(LV_LINE_CLOSE, number, NULL, 0);
	line_free(number);
}

/* ---- the program ---- */

/* What the program is told, and the strings of the VM's environment. */
static int add_arguments(struct exec_request *request)
{
	const char *env = (const char *)device_page->args, *end = env + device_page->args_size, *last;
	char words[512];
	int n = snprintf(words, sizeof(words), "lightvm-agent%c%u:%u%c%s", 0, device_page->uid, device_page->gid, 0, device_page->cwd) + 1;

	for (uint32_t i = 0; i < device_page->argc && env < end; i++)
		env += strnlen(env, (size_t)(end - env)) + 1;
	last = env;
	for (uint32_t i = 0; i < device_page->envc && last < end; i++)
		last += strnlen(last, (size_t)(end - last)) + 1;
	request->args_size = (size_t)n + (size_t)(last - env);
	request->args = kmalloc(request->args_size);
	if (!request->args)
		return -ENOMEM;
	memcpy(request->args, words, (size_t)n);
	memcpy(request->args + n, env, (size_t)(last - env));
	request->argc = 3;
	request->envc = device_page->envc;
	return 0;
}

static int open_descriptors(struct line *l)
{
	struct file *file, *connection = l->theirs;
	int err = 0;

	l->theirs = NULL;
	for (int i = 0; i < 3 && !err; i++) {
		err = file_open_flags("/dev/null", O_RDWR, &file);
		if (!err)
			err = fd_install(file, i, false) == i ? 0 : -ENOMEM;
	}
	if (!err)
		return fd_install(connection, 3, false) == 3 ? 0 : -ENOMEM;
	file_put(connection);
	return err;
}

static int execute(struct line *l)
{
	struct exec_request *request = kzalloc(sizeof(*request));
	int err = open_descriptors(l);

	if (!request)
		return -ENOMEM;
	snprintf(request->path, sizeof(request->path), "/lightvm-agent");
	if (!err)
		err = vfs_open_memory(l->program, &request->file);
	if (!err)
		err = add_arguments(request);
	if (!err)
		return process_execute(request);
	if (request->file)
		file_put(request->file);
	kfree(request);
	return err;
}

/* In the new process. */
static void begin(void *with)
{
	unsigned number = (unsigned)(uintptr_t)with;

	if (!line[number] || !line[number]->theirs || execute(line[number]))
		process_exit(126 << 8);
}

static bool start(unsigned number)
{
	struct file *pair[2];

	if (net_stream_pair(pair, 0))
		return false;
	pair[0]->flags |= O_NONBLOCK;
	line[number]->socket = pair[0];
	line[number]->theirs = pair[1];
	return process_start(begin, (void *)(uintptr_t)number);
}

/* What has come in is of the head, and then of the program: false if it is none, or there is no memory. */
static bool load(unsigned number)
{
	struct line *l = line[number];
	struct way *in = &l->in;
	size_t n = MIN(sizeof(l->head) - l->head_size, in->to - in->from);

	memcpy((char *)&l->head + l->head_size, in->data + in->from, n);
	l->head_size += (uint32_t)n;
	in->from += (uint32_t)n;
	if (l->head_size < sizeof(l->head))
		return true;
	if (l->head.magic != LV_AGENT_PROGRAM_MAGIC || !l->head.size || l->head.size > LV_AGENT_PROGRAM_MAX)
		return false;
	if (!l->program && !(l->program = inode_new(&memory_fs, S_IFREG | 0700)))
		return false;
	n = MIN(l->head.size - l->size, in->to - in->from);
	if (n && inode_write(l->program, l->size, (uaddr_t)(in->data + in->from), n) != (int64_t)n)
		return false;
	l->size += n;
	in->from += (uint32_t)n;
	return l->size < l->head.size || start(number);
}

/* ---- passing on ---- */

/* True: there is something. */
static bool receive(unsigned number)
{
	struct way *in = &line[number]->in;

	if (in->from < in->to)
		return true;
	if (!in->may || in->ended)
		return false;
	int64_t n = call(LV_LINE_READ, number, in->data, ROOM);

	in->may = n != -EAGAIN;
	in->ended = n <= 0 && n != -EAGAIN;
	in->from = 0;
	in->to = n > 0 ? (uint32_t)MIN((uint64_t)n, ROOM) : 0;
	if (in->ended && line[number]->socket)
		net_end_writing(line[number]->socket);
	return n > 0;
}

/* False: the line is closed. */
static bool pass_in(unsigned number)
{
	struct line *l = line[number];

	while (receive(number)) {
		if (!l->socket && !load(number)) {
			line_close(number);
			return false;
		}
		if (l->in.from == l->in.to || !l->socket)
			continue;
		int64_t n = net_write(l->socket, l->in.data + l->in.from, l->in.to - l->in.from);

		if (n == -EAGAIN)
			break;
		l->in.from = n < 0 ? l->in.to : l->in.from + (uint32_t)n; /* to nobody any more */
	}
	if (l->socket || !l->in.ended)
		return true;
	line_close(number); /* before its program was there */
	return false;
}

static bool pass_out(unsigned number)
{
	struct line *l = line[number];
	struct way *out = &l->out;
	int64_t n = 0;

	while (l->socket) {
		if (out->from == out->to) {
			n = l->socket->ops->read(l->socket, (uaddr_t)out->data, ROOM, NULL);
			if (n <= 0)
				break;
			out->from = 0;
			out->to = (uint32_t)n;
		}
		if (!out->may)
			return true;
		n = call(LV_LINE_WRITE, number, out->data + out->from, out->to - out->from);
		out->may = n != -EAGAIN;
		if (n < 0)
			break;
		out->from += (uint32_t)n;
	}
	if (!l->socket || n == -EAGAIN)
		return true;
	line_close(number); /* the program has ended, or nobody reads what it says: then it finds out */
	return false;
}

static bool lines_poll(struct poller *poller)
{
	bool any = false;

	for (unsigned i = 0; i < LV_AGENT_LINES; i++)
		if (line[i])
			any |= !(pass_in(i) && pass_out(i));
	return any;
}

/* Whoever asked is another VM's, or nobody's any more. */
static void become_another(void)
{
	for (unsigned i = 0; i < LV_AGENT_LINES; i++)
		if (line[i])
			line_free(i);
}

static void know_lines(void)
{
	static struct poller poller = { .poll = lines_poll };
	static struct generation_hook generation = { .changed = become_another };
	static bool known;

	if (known)
		return;
	known = true;
	poller_add(&poller);
	generation_add(&generation);
}

static void take(unsigned number)
{
	struct line *l = kzalloc(sizeof(*l));

	if (line[number])
		line_free(number);
	know_lines();
	line[number] = l;
	if (!l) {
		call(LV_LINE_CLOSE, number, NULL, 0);
		return;
	}
	l->in.data = page_alloc(ORDER);
	l->out.data = page_alloc(ORDER);
	l->in.may = l->out.may = true;
	if (!l->in.data || !l->out.data)
		line_close(number);
}

void agent_look(void)
{
	uint32_t bits = __atomic_exchange_n(&shared_page->lines, 0, __ATOMIC_ACQ_REL);
	int64_t number;

	for (unsigned i = 0; i < LV_AGENT_LINES; i++)
		if (line[i] && bits >> i & 1)
			line[i]->in.may = line[i]->out.may = true;
	while (bits & LV_LINE_COMES && (number = call(LV_LINE_NEW, 0, NULL, 0)) >= 0 && number < LV_AGENT_LINES)
		take((unsigned)number);
	lines_poll(NULL);
}
