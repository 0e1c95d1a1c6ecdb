/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files on their way from one program to another. Closing one that nobody took may drop a queue with others in it, and so on: they are closed
 * one after another, by the call that dropped the first. Sockets that are nowhere but in queues which nobody can read are found, as nobody closes them.
 */
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/net/unix.h"
#include "libos/proc/proc.h"

static struct flight *flights; /* all that have not landed */
static struct flight_user { /* who has files in flight */
	struct flight_user *next;
	uint32_t uid;
	size_t files;
} *users;
static size_t files_flying;
size_t net_sockets_flying;
static size_t changes; /* since unreadable queues were looked for: files sent and received, sockets closed, or left to their flights */
static uint32_t round; /* of looking for them */

static struct unix_socket *unix_of(struct file *file)
{
	struct socket *s = socket_of(file);
	return s && s->family == AF_UNIX ? (struct unix_socket *)s : NULL;
}

/* ---- from the sender's descriptors into a queue, and out of it ---- */

/* The place of a user in the list, or its end. */
static struct flight_user **find_user(uint32_t uid)
{
	struct flight_user **at = &users;
	while (*at && (*at)->uid != uid)
		at = &(*at)->next;
	return at;
}

static bool user_has_too_many(const struct flight_user *user)
{
	return user->files > process_limit(RLIMIT_NOFILE) && !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN);
}

static void forget_if_unused(struct flight_user *user)
{
	if (user->files)
		return;
	*find_user(user->uid) = user->next;
	kfree(user);
}

/* With a count of none, if it was not there. */
static struct flight_user *user_now(void)
{
	struct flight_user **at = find_user(credentials()->uid);
	if (!*at && (*at = kzalloc(sizeof(**at))))
		(*at)->uid = credentials()->uid;
	return *at;
}

static void count_flying(const struct flight *flight, int change)
{
	flight->user->files += (size_t)((long)flight->count * change);
	files_flying += (size_t)((long)flight->count * change);
	changes += flight->count;
	for (unsigned i = 0; i < flight->count; i++) {
		struct unix_socket *u = unix_of(flight->files[i]);
		if (!u)
			continue;
		u->flying += change;
		net_sockets_flying += (size_t)(long)change;
	}
}

int flight_take(struct flight **place, const int *fds, unsigned count)
{
	if (*place || count > FLIGHT_FILES)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		if (!fd_get(fds[i]))
			return -EBADF;
	if (!count)
		return 0;
	struct flight_user *user = user_now();
	if (!user)
		return -ENOMEM;
	if (user_has_too_many(user))
		return -ETOOMANYREFS;
	struct flight *flight = kzalloc(sizeof(*flight) + count * sizeof(flight->files[0]));
	if (!flight) {
		forget_if_unused(user);
		return -ENOMEM;
	}
	flight->user = user;
	flight->count = count;
	for (unsigned i = 0; i < count; i++)
		file_get(flight->files[i] = fd_get(fds[i]));
	count_flying(flight, 1);
	flight->next = flights;
	if (flights)
		flights->before = &flight->next;
	flight->before = &flights;
	flights = flight;
	flight->place = place;
	return *place = flight, 0;
}

void flight_land(struct flight *flight)
{
	if (!flight)
		return;
	count_flying(flight, -1);
	forget_if_unused(flight->user);
	*flight->place = NULL;
	*flight->before = flight->next;
	if (flight->next)
		flight->next->before = flight->before;
	flight->next = current->landed;
	current->landed = flight;
}

/* ---- what nobody can receive any more ---- */

/* Can its queue be read, since somebody has it otherwise than in a queue? Of one that waits to be accepted: that of its listener. */
static bool is_held(const struct unix_socket *u)
{
	const struct unix_socket *by = u->s.owner ? u->s.owner : u;
	return by->s.file->refs > by->flying;
}

static void reach(struct flight *flight, struct flight **todo)
{
	if (!flight || flight->round == round)
		return;
	flight->round = round;
	flight->todo = *todo;
	*todo = flight;
}

static void reach_queue(const struct unix_socket *u, struct flight **todo)
{
	for (const struct unix_chunk *chunk = u->first; chunk; chunk = chunk->next)
		reach(chunk->flight, todo);
}

static void reach_socket(struct unix_socket *u, struct flight **todo)
{
	if (u->round == round)
		return;
	u->round = round;
	reach_queue(u, todo);
	for (const struct unix_socket *child = u->accept_first; child; child = child->accept_next)
		reach_queue(child, todo);
}

/* From the queues that can be read all others are reached that ever can be; what lies in the rest lands. */
static void land_unreadable(void)
{
	struct flight *todo = NULL, *flight, *next;
	round++;
	for (flight = flights; flight; flight = flight->next)
		if (!flight->to || is_held(flight->to))
			reach(flight, &todo);
	while ((flight = todo)) {
		todo = flight->todo;
		for (unsigned i = 0; i < flight->count; i++) {
			struct unix_socket *u = unix_of(flight->files[i]);
			if (u)
				reach_socket(u, &todo);
		}
	}
	for (flight = flights; flight; flight = next) {
		next = flight->next;
		if (flight->round != round)
			flight_land(flight);
	}
	changes = 0;
}

/* ---- closing ---- */

static void close_landed(void)
{
	for (struct flight *flight; (flight = current->landed);) {
		current->landed = flight->next;
		for (unsigned i = 0; i < flight->count; i++)
			file_put(flight->files[i]);
		kfree(flight);
	}
}

/* Looking costs as much as there are files in flight, so it waits for as many changes: each of them pays its share. */
static void close_all(bool look)
{
	if (current->closes_landed) /* this is one of those that are being closed */
		return;
	current->closes_landed = true;
	close_landed();
	while (net_sockets_flying && (look || changes > files_flying)) {
		look = false;
		land_unreadable();
		close_landed();
	}
	current->closes_landed = false;
}

void flights_close(void)
{
	close_all(false);
}

void net_file_left(struct file *file)
{
	const struct unix_socket *u = unix_of(file);
	if (u && u->flying && !is_held(u))
		changes++;
}

void flights_socket_closed(void)
{
	changes++;
	flights_close();
}

void net_process_ends(void)
{
	close_all(changes);
}
