/* SPDX-License-Identifier: Apache-2.0 */
#include "parse/record_reader.h"

#include <errno.h>
#include <string.h>

int records_refuse(struct records_reader *reader, const char *why)
{
	reader->why = why;
	return -EINVAL;
}

int records_open(struct records_reader *reader, const void *bytes, size_t size, uint32_t magic, uint32_t version, size_t limit)
{
	struct lv_records header;
	*reader = (struct records_reader){ 0 };
	if (size < sizeof(header) || size > limit)
		return records_refuse(reader, "its size is impossible");
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != magic)
		return records_refuse(reader, "it does not begin like one");
	if (header.version != version)
		return records_refuse(reader, "it has another version");
	if (header.size != size)
		return records_refuse(reader, "it is cut short");
	if (header.records > LV_RECORDS_MAX)
		return records_refuse(reader, "it has too many records");
	reader->at = (const uint8_t *)bytes + sizeof(header);
	reader->left = size - sizeof(header);
	reader->count = header.records;
	return 0;
}

int records_next(struct records_reader *reader, struct record *record)
{
	struct lv_record head;
	if (reader->number == reader->count)
		return reader->left ? records_refuse(reader, "something follows the last record") : 0;
	reader->number++;
	if (reader->left < sizeof(head))
		return records_refuse(reader, "it ends within a record");
	memcpy(&head, reader->at, sizeof(head));
	reader->at += sizeof(head);
	reader->left -= sizeof(head);
	size_t padded = ((size_t)head.size + 3) & ~(size_t)3;
	if (padded > reader->left)
		return records_refuse(reader, "a record is longer than the rest");
	*record = (struct record){ head.type, head.size, reader->at };
	reader->at += padded;
	reader->left -= padded;
	return 1;
}

int records_string(struct records_reader *reader, const struct record *record, const char **out)
{
	if (!record->size || memchr(record->data, 0, record->size) != (const char *)record->data + record->size - 1)
		return records_refuse(reader, "a string does not end where its record ends");
	if (*out)
		return records_refuse(reader, "a record is there twice");
	*out = record->data;
	return 0;
}

int records_struct(struct records_reader *reader, const struct record *record, void *out, size_t size, bool *seen)
{
	if (record->size != size)
		return records_refuse(reader, "a record has the wrong size");
	if (seen && *seen)
		return records_refuse(reader, "a record is there twice");
	if (seen)
		*seen = true;
	memcpy(out, record->data, size);
	return 0;
}

size_t records_room(const struct records_reader *reader)
{
	size_t most = reader->left / sizeof(struct lv_record);
	return reader->count < most ? reader->count : most;
}
