/* SPDX-License-Identifier: Apache-2.0 */
/* lwIP includes <stdio.h> for its debug output, which is not built. */
