/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what the system calls (sys_net.c) and the families (tcp.c, udp.c, raw.c, unix.c, netlink.c) share. A
 * socket is the private part of a struct file; the system calls hold a reference on the file while they wait, so an
 * operation never sees its socket go away.
 */
#ifndef LV_NET_SOCKET_H
#define LV_NET_SOCKET_H

#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/net/linux_net.h"

struct socket;

struct message { /* one send or receive; buffers belong to the program */
	struct iovec *iov; /* a copy; consumed while bytes are moved */
	struct iovec *vector; /* where that copy begins, if it must be freed */
	int iovs;
	int flags;         /* MSG_*; MSG_DONTWAIT is set too when the file is O_NONBLOCK */
	size_t left;       /* bytes still to move */
	union address *name; /* send: where to, or NULL; receive: from whom, or NULL */
	uint32_t name_len;   /* in and out */
	void *control;     /* send: a copy of the control messages, or NULL */
	uaddr_t control_to; /* receive: where they go in the program's memory, or 0 */
	size_t control_space; /* receive: bytes that fit */
	size_t control_len;   /* send: bytes given; receive: bytes written */
	int out_flags;     /* receive: MSG_TRUNC, MSG_CTRUNC */
};

struct proto { /* 0, a count or a negative errno; NULL: EOPNOTSUPP */
	int (*bind)(struct socket *s, const union address *addr, uint32_t len);
	int (*connect)(struct socket *s, const union address *addr, uint32_t len, bool nonblock);
	int (*listen)(struct socket *s, int backlog);
	int (*accept)(struct socket *s, struct socket **child, bool nonblock); /* the child has no file yet */
	int64_t (*send)(struct socket *s, struct message *m);
	int64_t (*receive)(struct socket *s, struct message *m);
	int64_t (*receive_error)(struct socket *s, struct message *m); /* MSG_ERRQUEUE; NULL: there is never one */
	uint32_t (*poll)(struct socket *s);
	int (*shutdown)(struct socket *s, int how);
	int (*name)(struct socket *s, union address *addr, bool peer); /* its length */
	int (*setopt)(struct socket *s, int level, int option, const void *value, uint32_t len); /* not SOL_SOCKET */
	int (*getopt)(struct socket *s, int level, int option, void *value, uint32_t *len);
	void (*option_changed)(struct socket *s); /* one of the struct's own: keepalive, reuse ... */
	int64_t (*readable)(struct socket *s); /* FIONREAD */
	int64_t (*unsent)(struct socket *s);   /* SIOCOUTQ: bytes that the peer does not have; NULL: none ever */
	int (*at_mark)(struct socket *s);      /* SIOCATMARK: of urgent data; NULL: it has none, and no MSG_OOB */
	void (*close)(struct socket *s); /* frees it */
};

struct socket { /* first member of every family's own structure */
	const struct proto *proto;
	struct file *file; /* NULL: not accepted yet */
	int family, type, protocol;
	struct waitq wait;
	int error; /* SO_ERROR, positive; reading it clears it */
	bool shut_read, shut_write;
	bool reuse_address, reuse_port, keepalive, broadcast, passcred, linger_on, v6only, accepting;
	int linger_seconds;
	uint32_t send_size, receive_size; /* what SO_SNDBUF and SO_RCVBUF say */
	bool send_chosen; /* SO_SNDBUF was set */
	uint64_t send_timeout, receive_timeout; /* ns; 0: none */
	struct queued_fault *faults; /* error_queue.c */
	void *owner; /* the listener while it waits to be accepted */
	uint32_t wants; /* WANT_* */
	int stamp_option; /* SO_TIMESTAMP*: which one delivers the time; 0: none */
	uint32_t drops; /* datagrams for which there was no room */
	uint8_t mtu_discover;
	uint32_t mtu6; /* IPV6_MTU: a datagram that must not be cut is no larger; 0: the interface's */
	bool free_bind, bind_no_port;
	int dont_route, no_check; /* flags */
	int oob_inline;
	int priority, mark, incoming_cpu, busy_poll; /* nothing here distinguishes packets or processors by them */
	int low_water; /* SO_RCVLOWAT */
	uint32_t uid, gid; /* who made it */
	struct linux_ucred peer; /* SO_PEERCRED: who connected the other side, or listened there */
};

enum socket_wants { /* control messages with each datagram; WANT_ERRORS: ICMP's errors also where it is not connected */
	WANT_PKTINFO = 1, WANT_TTL = 2, WANT_TOS = 4, WANT_PKTINFO6 = 8, WANT_HOPLIMIT = 16, WANT_TCLASS = 32, WANT_ERRORS = 64,
	WANT_DROPS = 128,
};

/* ---- socket.c ---- */
/* A zeroed socket of size bytes with its common part filled in; NULL: out of memory. */
struct socket *socket_alloc(size_t size, const struct proto *proto, int family, int type, int protocol);
void socket_inherit(struct socket *child, const struct socket *listener); /* the options that an accepted connection has */
int socket_install(struct socket *s, int flags); /* makes a file of it and a descriptor of that; on error it was closed */
uint64_t socket_inode(const struct socket *s); /* st_ino */
struct socket *socket_of(struct file *file); /* NULL: not a socket */
int64_t socket_send(struct file *file, struct message *m);
int64_t socket_receive(struct file *file, struct message *m);
/*
 * Waits for a change of the socket: 0, or how the call ends (-EAGAIN for the time-out of SO_RCVTIMEO, -ERESTARTSYS or
 * -EINTR for a signal). timeout is the option's value, start when the call began to wait (0: now; is set).
 */
int socket_wait(struct socket *s, uint64_t timeout, uint64_t *start);
int socket_take_error(struct socket *s); /* negative errno or 0 */
void socket_put_stamp(const struct socket *s, struct message *m, uint64_t time); /* SO_TIMESTAMP's message; ns since the epoch */
int64_t socket_broken_pipe(struct message *m); /* SIGPIPE unless MSG_NOSIGNAL; -EPIPE */

/* ---- message.c: moving bytes between messages and the program ---- */
/* The next contiguous piece of at most want bytes, to be read before the thread waits; NULL: it cannot be read. left must not be 0. */
const void *message_borrow(struct message *m, size_t want, size_t *n);
void message_advance(struct message *m, size_t n);
int message_put(struct message *m, const void *data, size_t n); /* into the program: 0 or -EFAULT */
int message_get(struct message *m, void *data, size_t n);       /* from the program: 0 or -EFAULT */
/* Adds a control message for the receiver; sets MSG_CTRUNC when there is no room. */
void message_add_control(struct message *m, int level, int type, const void *data, size_t n);

/* ---- the families: a new socket and 0, or -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOBUFS ---- */
int inet_socket(int family, int type, int protocol, struct socket **s);
int unix_socket(int family, int type, int protocol, struct socket **s);
int netlink_socket(int family, int type, int protocol, struct socket **s);
int unix_pair(int type, struct socket **a, struct socket **b);

/* Connect to a socket name in the file system: vfs creates the node, unix.c knows who is bound to it. */
long netif_ioctl(unsigned request, unsigned long arg); /* SIOCGIF... ; ifconf.c */

#endif
