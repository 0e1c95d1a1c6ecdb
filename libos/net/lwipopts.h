/* SPDX-License-Identifier: Apache-2.0 */
/* How lwIP is built for libos: no threads, callbacks only; all memory from kmalloc, so that an idle VM holds none of it. */
#ifndef LV_LWIPOPTS_H
#define LV_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0
#define LWIP_ASSERT_CORE_LOCKED()

/* net.c runs the timers, and stops them when a VM has nothing to time: an idle VM must not wake up. */
#define LWIP_TIMERS 1
#define LWIP_TIMERS_CUSTOM 1

/* memory */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define mem_clib_malloc kmalloc
#define mem_clib_calloc net_calloc
#define mem_clib_free kfree
#define MEM_ALIGNMENT 8
#define MEM_SIZE (1 << 30) /* only gives mem_size_t its width */
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_DISABLE_MEMP_SANITY_CHECKS 1
#define PBUF_LINK_ENCAPSULATION_HLEN 12 /* room for struct virtio_net_hdr_v1 */
#define ETH_PAD_SIZE 0

/* which protocols */
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ARP 1
#define LWIP_ETHERNET 1
#define LWIP_ICMP 1
#define LWIP_RAW 1
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_DHCP 1
#define LWIP_DNS 1 /* only so that DHCP reports name servers: net_config.c has its two functions, the C library asks them */
#define LWIP_IGMP 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_DHCP6 0
#define LWIP_IPV6_SCOPES 1
#define LWIP_MULTICAST_TX_OPTIONS 1
#define LWIP_HAVE_LOOPIF 1
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_LOOPBACK_MAX_PBUFS 0
#define LWIP_BROADCAST_PING 0
#define IP_SOF_BROADCAST 1
#define IP_SOF_BROADCAST_RECV 0
#define IP_FORWARD 0
#define IP_DEFAULT_TTL 64 /* as Linux */
#define IP_REASSEMBLY 1
#define IP_REASS_MAX_PBUFS 64
#define MEMP_NUM_REASSDATA 16
#define IP_FRAG 1
#define IPV6_FRAG_COPYHEADER 1 /* pointers of 64 bits */
#define DHCP_DOES_ARP_CHECK 0 /* costs seconds at start */
#define LWIP_DHCP_MAX_DNS_SERVERS 2
#define DNS_MAX_SERVERS 2
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 0
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 16
#define MEMP_NUM_ARP_QUEUE 64
#define SO_REUSE 1
#define SO_REUSE_RXTOALL 0

/* checksums are per interface: off where the device does them */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM net_checksum
#define LWIP_CHECKSUM_ON_COPY 0

/* TCP */
#define TCP_MSS 65000 /* an upper limit: the interface's MTU decides */
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5
#define TCP_WND (352 * 1024 + net_window_more) /* fits into the socket buffer of an unprivileged passt, which drops what does not; a tap keeps more */
#define TCP_WND_UPDATE_THRESHOLD (64 * 1024)
#define TCP_SND_BUF (1024 * 1024)
#define TCP_SND_QUEUELEN 4096
#define TCP_SNDLOWAT 16384
#define TCP_SNDQUEUELOWAT 64
#define TCP_OVERSIZE 1460
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define TCP_QUEUE_OOSEQ 1
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_TIMESTAMPS 0
#define TCP_TMR_INTERVAL 50
#define TCP_MSL 1000
#define LWIP_TCP_RTO_TIME 1000
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 12
#define MEMP_NUM_TCP_PCB 65535
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1 /* tcp_segment.c */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* they compare a MSS of 64 KiB with 16-bit windows */
#define LWIP_HOOK_FILENAME "libos/net/hooks.h"
#define LWIP_HOOK_TCP_ISN net_initial_sequence
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, header, ...) net_tcp_input(pcb, header) /* ports.c */
#define LWIP_HOOK_TCP_OUT_ADD_TCPOPTS(p, header, pcb, options) net_tcp_output(header, pcb, options) /* tcp_urgent.c */
#define LWIP_HOOK_IP4_INPUT net_ip4_input
#define LWIP_HOOK_IP6_INPUT net_ip6_input
#define LWIP_HOOK_ND6_GET_GW net_gateway6 /* net_config.c */

/* what lwIP asks of random.c and net.c */
#define LWIP_RAND() net_random()
#include <stdint.h>
#include <stddef.h>
struct tcp_pcb;
uint32_t net_random(void);
uint16_t net_checksum(const void *data, int len);
extern uint32_t net_window_more;
void *net_calloc(size_t count, size_t size);
void *kmalloc(size_t size);
void kfree(void *p);

#endif
