/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/machine-id (machine-id(5)): of an image that has one it is every VM's, as with containers, and programs that care have made their own. In a clone, whose programs
 * may have used it already, it becomes another one. Where there is none, none is made.
 */
#include "libos/dev/dev.h"
#include "libos/fs/linux_fs.h"
#include "libos/fs/vfs.h"

#define ID_BYTES 16

static int rewrite(struct inode *inode)
{
	uint8_t id[ID_BYTES];
	char text[2 * ID_BYTES + 2];

	random_bytes(id, sizeof(id));
	id[6] = (id[6] & 15) | 0x40; /* a random UUID, as systemd makes it */
	id[8] = (id[8] & 63) | 0x80;
	for (int i = 0; i < ID_BYTES; i++)
		snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x", id[i]);
	text[2 * ID_BYTES] = '\n';
	return (int)MIN(inode_write(inode, 0, (uaddr_t)text, sizeof(text) - 1), 0);
}

static int replace(void)
{
	struct inode *inode;
	int err = vfs_find_own("/etc/machine-id", &inode);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (S_ISREG(inode->mode) && inode->size >= 2 * ID_BYTES)
		err = rewrite(inode);
	inode_put(inode);
	return err;
}

static void become_another(void)
{
	char text[128];
	int err = device_page->restored & LV_RESTORED_CLONE ? replace() : 0;

	if (!err)
		return;
	snprintf(text, sizeof(text), "lightvm: /etc/machine-id (error %d): this clone has that of the VM that it was made of\n", -err);
	console_note(text);
}

void machine_id_init(void)
{
	static struct generation_hook generation = { .changed = become_another };

	generation_add(&generation);
}
