/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets, for unix.c (connections), unix_data.c (bytes), unix_flight.c (descriptors), unix_name.c (who is bound where). */
#ifndef LV_NET_UNIX_H
#define LV_NET_UNIX_H

#include "libos/net/socket.h"

struct inode;

#define FLIGHT_FILES 253 /* most in one message */

struct flight { /* files of one message, from its sending until they are received, or closed */
	struct flight *next, **before; /* all in flight; or landed, and to be closed */
	struct flight **place;         /* of the chunk that has it */
	struct unix_socket *to;        /* in whose queue that is; NULL: in none yet */
	struct flight *todo;
	uint32_t round;
	struct flight_user *user; /* who sent them: all of a user's are no more than RLIMIT_NOFILE */
	unsigned count;
	struct file *files[];
};

struct unix_chunk { /* what one send left: a datagram, or bytes of a stream */
	struct unix_chunk *next;
	size_t len, read;
	size_t charge; /* what it costs its sender's SO_SNDBUF */
	struct flight *flight; /* passed descriptors, or NULL */
	bool has_credentials;
	uint64_t time; /* when it was sent, if the receiver wants to know; ns since the epoch */
	struct linux_ucred credentials;
	union address from;
	uint32_t from_len;
	uint8_t data[];
};

struct unix_socket {
	struct socket s;
	struct unix_socket *peer; /* connected to; NULL: none, or it has closed */
	bool connected, listening, peer_gone;
	struct unix_chunk *first, *last;
	size_t bytes, charge; /* of all chunks */
	unsigned chunks;
	int flying; /* references to its file that are in flight */
	uint32_t round; /* unix_flight.c */
	/* name */
	union address name;
	uint32_t name_len; /* 0: none */
	struct inode *inode; /* of a path name */
	struct unix_socket *bound_next; /* all that have a name */
	union address peer_name; /* of a connected datagram socket, or of the listener */
	uint32_t peer_name_len;
	struct unix_socket *space_next; /* all datagram sockets that are connected to a name */
	/* accepting */
	int backlog, waiting;
	struct unix_socket *accept_first, *accept_last, *accept_next;
};

void unix_disconnect(struct unix_socket *u); /* of a datagram socket: from the name that it was connected to */

/* unix_name.c */
int unix_name_bind(struct unix_socket *u, const union address *addr, uint32_t len);
int unix_name_find(const union address *addr, uint32_t len, int type, struct unix_socket **found); /* -ECONNREFUSED, -ENOENT ... */
void unix_name_release(struct unix_socket *u);

/* unix_data.c */
int64_t unix_send(struct socket *s, struct message *m);
int64_t unix_receive(struct socket *s, struct message *m);
void unix_drop_queue(struct unix_socket *u);
bool unix_may_send(const struct unix_socket *from, const struct unix_socket *to); /* a datagram: who is connected hears its peer only */
bool unix_has_room(const struct unix_socket *from, const struct unix_socket *to);
bool unix_is_writable(const struct unix_socket *from, const struct unix_socket *to); /* as poll(2) sees it */
extern struct waitq unix_datagram_space; /* woken when any datagram socket was read or closed */
void unix_watch_space(struct unix_socket *u, bool on); /* a datagram socket that is connected to a name, or no more */

/* unix_flight.c */
int flight_take(struct flight **place, const int *fds, unsigned count); /* of the running process; *place is NULL before. 0 or -errno */
void flight_land(struct flight *flight); /* NULL: nothing. *place is NULL then; the files are closed at the next of these, which may wait: */
void flights_close(void);
void flights_socket_closed(void); /* the same, by one that is gone */

/* paths.c: names in the file tree */
int unix_path_make(const char *path, struct unix_socket *u, struct inode **inode); /* a new socket file that stands for u */
int unix_path_find(const char *path, struct unix_socket **found);
void unix_path_forget(struct inode *inode);

#endif
