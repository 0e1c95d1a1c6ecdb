/* SPDX-License-Identifier: Apache-2.0 */
/* From the PVH entry (32-bit, no paging; ebx: start info) to hostile_main in long mode, with 4 GiB mapped as they are. */
#define PRESENT_WRITABLE 3
#define LARGE_PAGE 0x83

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	cli
	mov $stack_end, %esp
	mov %ebx, %ebp
	/* PML4 -> PDPT -> four page directories of 2 MiB pages */
	movl $pdpt + PRESENT_WRITABLE, pml4
	mov $directories + PRESENT_WRITABLE, %eax
	xor %ecx, %ecx
1:	mov %eax, pdpt(, %ecx, 8)
	add $4096, %eax
	inc %ecx
	cmp $4, %ecx
	jb 1b
	mov $LARGE_PAGE, %eax
	xor %ecx, %ecx
2:	mov %eax, directories(, %ecx, 8)
	add $0x200000, %eax
	inc %ecx
	cmp $2048, %ecx
	jb 2b
	mov $pml4, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $0x620, %eax /* PAE, and SSE for the compiler */
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax /* EFER.LME */
	wrmsr
	mov $0x80000011, %eax /* PG, ET, PE */
	mov %eax, %cr0
	lgdt table
	ljmp $8, $long_mode
	.code64
long_mode:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %ebp, %edi
	call hostile_main
3:	hlt
	jmp 3b

	.data
	.align 8
gdt:	.quad 0, 0x00af9a000000ffff
table:	.word 15
	.long gdt

	.bss
	.align 4096
pml4:	.skip 4096
pdpt:	.skip 4096
directories: .skip 4 * 4096
	.skip 16384
stack_end:

	.section .note.GNU-stack, "", @progbits
